"""Reading a run folder that may be damaged, hostile, or just being written. Needs no torch.

What is read is checked first: against its checksum, and JSON against the shape that `clbench.store.shape` gives it.
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clbench.errors import StoreError
from clbench.store import shape
from clbench.store.lock import holder, is_held

SUMS = "SHA256SUMS"
CALLED = {"status": "status", "config": "configuration", "env": "environment", "metrics": "metrics"}
"""What a JSON file is of a run."""


@dataclass(frozen=True)
class Reader:
    """The files of one run folder. Every method raises StoreError where a file is not as a run writes it."""

    folder: Path

    @cached_property
    def sums(self) -> dict[str, str]:
        """File -> SHA-256; empty where there are none."""
        if not os.path.lexists(self.folder / SUMS):
            return {}
        try:
            text = self._read(SUMS).decode()
        except UnicodeDecodeError as error:
            raise self.unlike(SUMS, f"to be a text file but got: {error}") from error
        lines = (line.split("  ", 1) for line in text.split("\n"))
        return {parts[1]: parts[0] for parts in lines if len(parts) == 2}

    def content(self, name: str) -> bytes:
        """A file's content, which is as its checksum says; where there are checksums it has one."""
        data = self._read(name)
        if self.sums and self.sums.get(name) != hashlib.sha256(data).hexdigest():
            what = "its checksum differs" if name in self.sums else f"{SUMS} does not list it"
            raise self.unlike(name, f"to be as the run wrote it but {what}")
        return data

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object of its shape."""
        data = self.content(name)
        try:
            value = json.loads(data.decode())
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # refuses NaN, and halves of letters
        except (ValueError, RecursionError) as error:
            raise self.unlike(name, f"to be a JSON file but got: {error}") from error
        if not isinstance(value, dict):
            raise self.unlike(name, f"to hold a JSON object but got {type(value).__name__}")
        called = name.removesuffix(".json")
        try:
            shape.check(value, shape.SHAPES[name], called)
        except ValueError as error:
            raise self.unlike(name, f"to be the {CALLED[called]} of a run but {error}") from error
        return value

    def loaded(self, name: str) -> Any:
        """An array, or of an .npz a dict of arrays."""
        data = self.content(name)
        try:
            found = np.load(io.BytesIO(data), allow_pickle=False)
            archive = isinstance(found, np.lib.npyio.NpzFile)
            if archive != name.endswith(".npz"):
                raise ValueError("an archive of arrays" if archive else "one array and no archive")
            return dict(found) if archive else np.asarray(found)
        except Exception as error:  # damaged bytes make NumPy, zipfile and zlib raise whatever they like
            raise self.unlike(name, f"to hold arrays but got: {error}") from error

    def unlike(self, name: str, what: str) -> StoreError:
        """The error of a file. A run that a process has at this moment is to be left to it."""
        then = f"{holder(self.folder)}; wait for it" if is_held(self.folder) else "run it again with --rerun"
        return StoreError(f"Expected {self.folder / name} {what}; {then}.")

    def _read(self, name: str) -> bytes:
        file = self.folder / name
        try:
            if not file.is_file():  # reading a pipe would wait for somebody to write
                raise OSError("it is no plain file" if os.path.lexists(file) else "no such file")
            return file.read_bytes()
        except (OSError, ValueError) as error:
            raise self.unlike(name, f"to be there but got: {getattr(error, 'strerror', None) or error}") from error
