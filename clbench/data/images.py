"""Where pixels come from: an array in memory, or files that are decoded when they are read."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clbench.arrays import IntArray
from clbench.errors import DataError
from clbench.files import digest, sha256

PROBES = 64
"""Files whose bytes are part of a fingerprint; all of COCO's would take minutes to read."""


class ArrayImages:
    """Images held in memory: uint8 (N, 3, S, S)."""

    decodes = False
    paths: Sequence[str] = ()

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3] or pixels.dtype != np.uint8:
            raise ValueError(f"expected uint8 images (N, 3, S, S) but got {pixels.dtype} {pixels.shape}")
        self._pixels = torch.from_numpy(pixels)
        self._fingerprint = "sha256 " + hashlib.sha256(pixels.tobytes()).hexdigest()

    @property
    def size(self) -> int:
        return int(self._pixels.shape[2])

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, indices: IntArray) -> Tensor:
        # index_select is 14 times as fast as fancy indexing here (measured: 10 of 2,000 images at 224 px)
        return torch.index_select(self._pixels, 0, torch.tensor(indices))


class FileImages:
    """Image files decoded on the fly by torchvision and resized straight to a square (aspect not kept, as in PRS).

    `clbench.data.decode` says what becomes of odd files.
    """

    decodes = True

    def __init__(self, root: Path, paths: Sequence[str], size: int, threads: int = 2) -> None:
        from clbench.data.decode import square  # torchvision takes seconds to import: only where files are decoded

        self._square = square
        self.paths = paths
        self._files = [root / path for path in paths]
        self._size = size
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clbench-decode")

    @property
    def size(self) -> int:
        return self._size

    @cached_property
    def fingerprint(self) -> str:
        """Of the files their sizes, in order, and the bytes of `PROBES` of them: no names and no times, which a copy
        of the same images, or another release of them, may have otherwise. Raises DataError."""
        few = np.unique(np.linspace(0, len(self._files) - 1, PROBES).astype(np.int64)) if self._files else ()
        try:
            sizes = [seen.st_size for seen in self._seen]
            bits = digest([sizes, [sha256(self._files[index]) for index in few]])
        except OSError as error:
            raise DataError(f"Expected to read {error.filename} but got: {error.strerror}; restore it.") from error
        what = f"{len(sizes):,} files of {sum(sizes):,} bytes, sha256 of their sizes and {PROBES} of them {bits[:32]}"
        return f"files, decoded and resized to {self._size} x {self._size}, bicubic; {what}"

    @property
    def modified(self) -> str:
        """When the newest file was written: what `fingerprint` cannot tell may have changed where this has."""
        newest = max((seen.st_mtime for seen in self._seen), default=0.0)
        return datetime.fromtimestamp(newest, UTC).isoformat("T", "microseconds")

    @cached_property
    def _seen(self) -> list[os.stat_result]:
        return [file.stat() for file in self._files]

    def read(self, indices: IntArray) -> Tensor:
        if len(indices) == 1:
            return self._one(int(indices[0]))[None]
        return torch.stack(list(self._pool.map(self._one, indices.tolist())))

    def _one(self, index: int) -> Tensor:
        return self._square(self._files[index], self._size)
