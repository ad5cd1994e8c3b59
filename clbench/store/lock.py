"""One process on one run folder, by the operating system's lock on a file beside it.

The kernel gives the lock back when its holder ends, however it ends, so no lock is ever stale on one machine. On a
network file system the server does the same for a machine that is gone (NFS 4, or Lustre mounted with flock).
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from clbench.errors import StoreError
from clbench.files import write_all


class Busy(StoreError):
    """A run that another process has at this moment."""


def lock_file(folder: Path) -> Path:
    """The file beside a run folder that its process holds. It stays: removing it would let two processes in."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a run folder to oneself.

    Raises:
        Busy: another process has it; says who and since when.
        StoreError: the file system has no locks, or the folder cannot be written.
    """
    path = lock_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(
            f"Expected to write results to {folder} but got: {error.strerror}; choose another folder with --out."
        ) from error
    try:
        _lock(file, folder)
        os.ftruncate(file, 0)
        now = datetime.now(UTC).isoformat("T", "seconds")
        write_all(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": now}).encode())
        yield
    finally:
        os.close(file)


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(
            f"Expected {folder} to be free but {holder(folder)}; wait for it, or stop it and run this again."
        ) from error
    except OSError as error:
        raise StoreError(
            f"Expected to lock {lock_file(folder)} but got: {error.strerror}; choose a folder with --out whose file "
            "system has locks."
        ) from error


def is_held(folder: Path) -> bool:
    """Whether a process has a run folder at this moment; where there are no locks nobody knows."""
    try:
        file = os.open(lock_file(folder), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(file)
    return False


def holder(folder: Path) -> str:
    """Who has a run folder and since when, as far as its lock file says."""
    try:
        who = json.loads(lock_file(folder).read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} has been running it since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process has just begun to run it"
