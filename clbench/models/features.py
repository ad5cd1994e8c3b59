"""Maps of a frozen backbone, computed once for each image and kept: on disk below the results folder, or in memory.

A map is always computed together with the same neighbours, a block of dataset indices, so its bits do not depend on
which run computed it first or on what is there already. Without augmentation and with batch norm in evaluation, the
maps are what the backbone would give at every step, but for float16: 11 bits of mantissa.

    <out>/.cache/features/<key>/
        maps.f16      (N, D, H, W) float16, little-endian, memory-mapped; images that no run has asked for are zeros
        checks.npy    (blocks,) int64: CRC-32 of a block's bytes, -1 where it has not been computed
        about.json    what they are of

The key is a hash of `about.json`: the backbone's weights, the images (their fingerprint, their ids, the pixels of 16),
and what else changes bits. Deleting the folder is always safe. It holds at most CLBENCH_FEATURE_CACHE_GB (20) GB of
10^9 bytes: to make room, the sets that have not been used for longest are deleted.
"""

import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clbench.arrays import IntArray
from clbench.data.collection import ImageSource
from clbench.errors import DataError, UsageError
from clbench.files import digest, write_all, write_bytes, write_json
from clbench.models.network import Network

FOLDER = Path(".cache/features")
"""Where the sets of maps stand, below a results folder."""
BLOCK = 32
"""Images that are computed together."""
PROBES = 16
"""Images whose pixels are part of the key."""
PIECE = 2**24
"""Bytes that are written at once where the operating system cannot allocate."""
SAVE_EVERY = 10.0
"""Seconds between two savings while maps are computed: what a run that is stopped can lose."""


class FeatureSource:
    """An image source that gives the backbone's maps instead of pixels.

    seconds: what checking and computing them took so far.

    Raises:
        DataError: there is no room for the maps, or a map does not fit float16.
    """

    decodes = False
    paths: Sequence[str] = ()

    def __init__(
        self,
        images: ImageSource,
        ids: Sequence[int | str],
        network: Network,
        device: torch.device,
        cache: Path | None = None,
    ) -> None:
        """ids: (N,), what names each image in its dataset. cache: the folder of all sets; in memory without one."""
        started = time.perf_counter()
        self._images, self._network, self._device, self._count = images, network, device, len(ids)
        about = identity(images, ids, network, device)
        self._fingerprint = "features " + digest(about)
        shape = (self._count, *self._compute(np.zeros(1, np.int64)).shape[1:])
        self._folder = None if cache is None else cache / self._fingerprint.split()[1][:16]
        self._checks = np.full(-(-self._count // BLOCK), -1, np.int64)
        self._maps: npt.NDArray[np.float16]
        if self._folder is None:
            self._maps = np.zeros(shape, np.float16)
        else:
            self._maps = self._open(self._folder, about, shape)
        self._there = np.zeros(len(self._checks), np.bool_)
        self.seconds = time.perf_counter() - started

    @property
    def size(self) -> int:
        """Height and width in pixels of the images."""
        return self._images.size

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, indices: IntArray) -> Tensor:
        """The maps at dataset `indices` (B,): float16 (B, D, H, W), on the CPU."""
        if not self._there[indices // BLOCK].all():
            self.prepare(indices)
        return torch.index_select(torch.from_numpy(self._maps), 0, torch.tensor(indices))

    def prepare(self, indices: IntArray, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """See to it that the maps of these images are there; a block that is damaged is computed again.

        progress: called with the number of blocks that are done, and of all that were missing.
        """
        started = saved = time.perf_counter()
        wanted = np.unique(indices // BLOCK)
        missing = [int(block) for block in wanted if self._checks[block] != self._check(block)]
        for done, block in enumerate(missing, start=1):
            rows = np.arange(block * BLOCK, min((block + 1) * BLOCK, self._count))
            self._maps[rows] = self._compute(rows)
            self._checks[block] = self._check(block)
            progress(done, len(missing))
            if time.perf_counter() - saved > SAVE_EVERY:
                self._save()
                saved = time.perf_counter()
        if missing:
            self._save()
        self._there[wanted] = True
        self.seconds += time.perf_counter() - started

    @torch.inference_mode()
    def _compute(self, rows: IntArray) -> npt.NDArray[np.float16]:
        maps = self._network.feature_map(self._images.read(rows).to(self._device)).half()
        if not maps.isfinite().all():
            raise DataError(
                "Expected feature maps within float16's range but the backbone gives larger ones or NaN; "
                "run with --set freeze=none, or choose other weights."
            )
        array: npt.NDArray[np.float16] = maps.cpu().numpy()
        return array

    def _check(self, block: int) -> int:
        return zlib.crc32(self._maps[block * BLOCK : (block + 1) * BLOCK].data)

    def _open(self, folder: Path, about: dict[str, Any], shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
        size = int(np.prod(shape)) * 2
        file = folder / "maps.f16"
        if not file.exists() or file.stat().st_size != size:
            make_room(folder, size)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "about.json", about)
        allocate(file, size)
        os.utime(folder)  # the time of the last use
        with suppress(OSError, ValueError, EOFError):  # missing or damaged: all blocks are computed again
            checks = np.load(folder / "checks.npy", allow_pickle=False)
            if checks.shape == self._checks.shape and checks.dtype == np.int64:
                self._checks = checks
        return np.memmap(file, np.float16, "r+", shape=shape)

    def _save(self) -> None:
        if self._folder is not None and isinstance(self._maps, np.memmap):
            self._maps.flush()  # before the checks that say so
            buffer = BytesIO()
            np.save(buffer, self._checks)
            with suppress(FileNotFoundError):  # another run has deleted the set to make room; ours stays open
                write_bytes(self._folder / "checks.npy", buffer.getvalue())


def identity(images: ImageSource, ids: Sequence[int | str], network: Network, device: torch.device) -> dict[str, Any]:
    """All that makes the maps what they are. JSON-ready."""
    count = len(ids)
    probes = np.unique(np.linspace(0, count - 1, PROBES).astype(np.int64))
    return {
        "backbone": type(network.backbone).__name__,
        "weights": state_hash(network.backbone),
        "mean, std": [network.mean.flatten().tolist(), network.std.flatten().tolist()],
        "images": images.fingerprint,
        "size": images.size,
        "count": count,
        "ids": digest(list(ids)),
        "pixels": hashlib.sha256(images.read(probes).numpy().tobytes()).hexdigest(),
        "block": BLOCK,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def state_hash(module: torch.nn.Module) -> str:
    """SHA-256 of a module's tensors with their names and shapes."""
    hashed = hashlib.sha256(str(module).encode())
    for name, tensor in module.state_dict().items():
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def allocate(file: Path, size: int) -> None:
    """See to it that a file has `size` bytes, all of them with room on the disk, and keep those that it has.

    Writing to a map of a file with holes ends the process (SIGBUS) once the disk is full.

    Raises:
        DataError: there is no room.
    """
    new = not file.exists()
    try:
        with open(file, "ab") as out:  # never empties what another run has begun
            there = os.fstat(out.fileno())
            if there.st_size > size:
                out.truncate(size)
            if there.st_size < size or there.st_blocks * 512 < size:
                _fill(out.fileno(), size)
    except OSError as error:
        if new:
            file.unlink(missing_ok=True)
        raise DataError(
            f"Expected {size / 1e9:.1f} GB for feature maps in {file.parent.parent} but got: {error.strerror}; make "
            "room, or choose smaller images."
        ) from error


def _fill(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:  # macOS: what is appended has room; holes of before are left
        for start in range(os.fstat(file).st_size, size, PIECE):
            write_all(file, bytes(min(PIECE, size - start)))


def limit_bytes() -> int:
    """How much all sets of one results folder may take together. Raises UsageError."""
    given = os.environ.get("CLBENCH_FEATURE_CACHE_GB", "20")
    try:
        return int(float(given) * 10**9)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"Expected CLBENCH_FEATURE_CACHE_GB to be a number of gigabytes but got {given!r}.") from error


def make_room(folder: Path, size: int) -> None:
    """Delete the sets beside `folder` that have not been used for longest, until `size` bytes more fit the limit.

    Raises:
        DataError: they do not fit the limit alone, or not the disk.
    """
    limit = limit_bytes()
    if size > limit:
        raise DataError(
            f"Expected feature maps of at most {limit / 1e9:.1f} GB but these take {size / 1e9:.1f} GB; choose smaller "
            "images, or allow more with CLBENCH_FEATURE_CACHE_GB."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    others = sorted((o for o in folder.parent.iterdir() if o.is_dir() and o != folder), key=lambda o: o.stat().st_mtime)
    sizes = {other: sum(file.stat().st_size for file in other.iterdir()) for other in others}
    for other in others:
        if sum(sizes.values()) + size > limit:
            shutil.rmtree(other)
            del sizes[other]
    free = shutil.disk_usage(folder.parent).free
    if size > free:  # writing to a map of a file on a full disk would end the process
        raise DataError(
            f"Expected {size / 1e9:.1f} GB for feature maps in {folder.parent} but {free / 1e9:.1f} GB are free; make "
            "room, or choose smaller images."
        )
