"""Writing files so that a reader never sees half of one."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

DEFAULT_OUT = Path("results/runs")
"""Where runs go, below the current folder."""
DEFAULT_TRIALS = Path("results/tune")
"""Where the trials of a search go: runs that are no results."""
DEFAULT_RECIPES = Path("results/recipes")
"""Where what a search has chosen goes."""
OWN = ".clbench"
"""clbench's own folder below a data root: checksums, pixel caches, kept labels."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content in one step: temporary file, fsync, rename, fsync of the folder.

    Where that fails the file is as it was, and the temporary one gone: the disk may be full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk; for files that nobody reads before a rename."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, data: bytes) -> None:
    """Write every byte to a file descriptor; the operating system may take fewer at once."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_json(path: Path, value: Any) -> None:
    """Write JSON (UTF-8, two spaces, no NaN) in one step."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def sha256(path: Path) -> str:
    """A file's SHA-256, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON for hashing: sorted keys, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
