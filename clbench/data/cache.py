"""The pixel cache: a list of image files decoded and resized once, one memory-mapped uint8 file (N, 3, S, S).

A JSON file beside it says what it was made from; a cache is used only where that still holds. Making one can be
stopped at any time: blocks are written in order, and the next attempt keeps those that have the bytes that their noted
sums say. One process at a time makes one.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from clbench.arrays import IntArray
from clbench.data.alone import alone
from clbench.data.collection import ImageSource
from clbench.data.images import FileImages
from clbench.errors import DataError
from clbench.files import OWN, digest, sha256, write_json

CHUNK = 256
"""Images of a block: what is written and noted at once."""


class CachedImages:
    """A whole pixel cache, read through the page cache without decoding."""

    decodes = False

    def __init__(self, file: Path, about: dict[str, Any], paths: Sequence[str]) -> None:
        self.paths = paths
        count, size = about["count"], about["size"]
        # shared=False: nobody can write into the cache by writing into what was read
        flat = torch.from_file(str(file), shared=False, size=count * 3 * size * size, dtype=torch.uint8)
        self._pixels = flat.view(count, 3, size, size)
        self._about = about

    @property
    def size(self) -> int:
        return int(self._about["size"])

    @property
    def fingerprint(self) -> str:
        made = digest(self._about)
        return f"pixel cache, {self.size} x {self.size}, sha256 {made}"

    def read(self, indices: IntArray) -> Tensor:
        return torch.index_select(self._pixels, 0, torch.tensor(indices))


def prepare(
    root: Path,
    paths: Sequence[str],
    size: int,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
    sums: Mapping[str, str] | None = None,
) -> Path:
    """Make the cache of `paths` below `root` in `folder`, or go on with one that was stopped; gives its file.

    A whole one that was made from the same bytes is left as it is.

    progress: called with the number of images that are done. sums: path -> SHA-256 of its file; read where not given.

    Raises:
        DataError: an image that is missing or cannot be decoded, too little space, a folder that cannot be written, or
            another process that makes it.
    """
    file = folder / f"{_listed(paths)}-{size}.pixels"
    with alone(file.with_suffix(".lock"), f"the pixel cache {file}", parents=True):
        about = identity(root, paths, size, sums)
        if _whole(file, about):
            progress(len(paths))
        else:
            _make(file, about, FileImages(root, paths, size), progress)
    return file


def _make(file: Path, about: Mapping[str, Any], images: FileImages, progress: Callable[[int], None]) -> None:
    """Make a cache, by the one process that may. Raises DataError."""
    part, journal = file.with_suffix(".part"), file.with_suffix(".part.json")
    try:
        written = _write(part, journal, about, images, progress)
        made = {**about, "sha256": sha256(part)}  # before the rename: it takes a while, and may be stopped as well
        if made["sha256"] != written:
            raise DataError(
                f"Expected {part} to be as it was written but it is not; check the disk and run this again."
            )
        file.with_suffix(".json").unlink(missing_ok=True)  # never an older description beside newer pixels
        os.replace(part, file)
        write_json(file.with_suffix(".json"), made)
        journal.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"Expected to write the pixel cache {file} but got: {error.strerror}; make the folder writable and make "
            "room, then the same command goes on."
        ) from error


def _write(
    part: Path, journal: Path, about: Mapping[str, Any], images: FileImages, progress: Callable[[int], None]
) -> str:
    """Write every block that is not there yet, and note it with its sum; the SHA-256 of all. Raises OSError."""
    row, count = 3 * images.size**2, len(images.paths)
    sums = _kept(part, journal, about, CHUNK * row)
    done, whole = min(len(sums) * CHUNK, count), hashlib.sha256()
    _check_space(part.parent, (count - done) * row)
    with open(part, "r+b" if part.exists() else "w+b") as out:
        out.truncate(done * row)
        while block := out.read(CHUNK * row):
            whole.update(block)
        while done < count:
            rows = np.arange(done, min(done + CHUNK, count))
            block = images.read(rows).numpy().tobytes()
            out.write(block)
            out.flush()
            os.fsync(out.fileno())
            whole.update(block)
            sums.append(hashlib.sha256(block).hexdigest())
            write_json(journal, {"about": about, "blocks": sums})
            done += len(rows)
            progress(done)
    return whole.hexdigest()


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"Expected {needed:,} bytes of free space in {folder} but there are {free:,}; make room.")


def open_cache(root: Path, paths: Sequence[str], size: int, folder: Path) -> CachedImages | None:
    """The cache of exactly these files, or None where there is none that is whole and made from them.

    Paths and sizes of the files are compared, not their bytes: those of all of COCO take minutes to read.
    """
    file = folder / f"{_listed(paths)}-{size}.pixels"
    try:
        about = _about(file)
        now = {**_decoder(), "count": len(paths), "size": size, "listing": _listing(root, paths)}
        whole = file.stat().st_size == len(paths) * 3 * size * size
        same = {key: about.get(key) for key in now} == now
    except (OSError, ValueError):
        return None
    return CachedImages(file, about, paths) if whole and same else None


def damaged_caches(root: Path) -> dict[str, str]:
    """Path -> what is wrong, of every whole pixel cache below a data root whose bytes are not as they were written."""
    wrong = {}
    for file in sorted((root / OWN).glob("*.pixels")):
        try:
            same = _about(file).get("sha256") == sha256(file)
        except (OSError, ValueError):
            same = False
        if not same:
            wrong[file.relative_to(root).as_posix()] = "changed, or without its description; delete it"
    return wrong


def remove_outdated(root: Path, paths: Sequence[str], sums: Mapping[str, str]) -> list[Path]:
    """Remove the pixel caches of `paths`, of any size, that were made from other bytes than `sums` say; their files.

    `open_cache` cannot tell where a file was changed and kept its size.

    Raises:
        DataError: one that cannot be removed.
    """
    source, removed = _source(paths, sums), []
    for file in sorted((root / OWN).glob(f"{_listed(paths)}-*.pixels")):
        try:
            same = _about(file).get("source") == source
        except (OSError, ValueError):
            same = False
        if same:
            continue
        try:
            file.with_suffix(".json").unlink(missing_ok=True)
            file.unlink()
        except OSError as error:
            raise DataError(f"Expected to remove the outdated {file} but got: {error.strerror}; remove it.") from error
        removed.append(file)
    return removed


def open_images(root: Path, paths: Sequence[str], size: int, folder: Path | None = None) -> ImageSource:
    """The pixel cache where there is a whole, matching one (in `root`/.clbench by default), else the files."""
    return open_cache(root, paths, size, folder or root / OWN) or FileImages(root, paths, size)


def identity(root: Path, paths: Sequence[str], size: int, sums: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a cache is made from: shape, decoder, hashes of the files' sizes and of their bytes. Raises DataError."""
    try:
        source = _source(paths, sums or {path: sha256(root / path) for path in paths})
        listing = _listing(root, paths)
    except OSError as error:
        raise DataError(f"Expected to read every image below {root} but got: {error}; restore it.") from error
    return {**_decoder(), "count": len(paths), "size": size, "listing": listing, "source": source}


def _source(paths: Sequence[str], sums: Mapping[str, str]) -> str:
    return digest([[path, sums[path]] for path in paths])


def _about(file: Path) -> dict[str, Any]:
    """The description beside a cache. Raises OSError and ValueError."""
    about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    if not isinstance(about, dict):
        raise ValueError("expected an object")
    return about


def _whole(file: Path, about: dict[str, Any]) -> bool:
    """Whether a cache is there, was made from just this, and has its bytes still."""
    try:
        found = _about(file)
        return {**about, "sha256": found.get("sha256")} == found and found["sha256"] == sha256(file)
    except (OSError, ValueError, KeyError):
        return False


def _decoder() -> dict[str, str]:
    return {
        "decoder": f"torchvision {torchvision.__version__}, torch {torch.__version__}",
        "resize": "bicubic, antialiased, straight to a square",
    }


def _listing(root: Path, paths: Sequence[str]) -> str:
    return digest([[path, (root / path).stat().st_size] for path in paths])


def _listed(paths: Sequence[str]) -> str:
    """The name of a list of files, in the order of a cache's rows."""
    return digest(list(paths))[:16]


def _kept(part: Path, journal: Path, about: Mapping[str, Any], size: int) -> list[str]:
    """The sums of the first blocks, `size` bytes each, of an earlier attempt: those that are as they were noted."""
    try:
        note = json.loads(journal.read_text(encoding="utf-8"))
        blocks = note["blocks"] if note["about"] == about else []
        with open(part, "rb") as file:
            return list(takewhile(lambda noted: hashlib.sha256(file.read(size)).hexdigest() == noted, blocks))
    except (OSError, ValueError, KeyError, TypeError):
        return []
