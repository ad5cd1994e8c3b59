"""The pixel cache: a list of image files decoded and resized once, one memory-mapped uint8 file (N, 3, S, S).

A JSON file beside it says what it was made from; a cache is used only where that still holds. Making one can be
stopped at any time: rows are written in order, and those that are on disk are kept by the next attempt.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from clbench.data.images import FileImages, IntArray
from clbench.errors import DataError
from clbench.files import OWN, canonical, sha256, write_json
from clbench.scenario import ImageSource

CHUNK = 256
"""Images between two notes of how far it got."""


class CachedImages:
    """A whole pixel cache, read through the page cache without decoding."""

    decodes = False

    def __init__(self, file: Path, about: dict[str, Any], paths: Sequence[str] = ()) -> None:
        self.file, self.paths = file, paths
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
        made = hashlib.sha256(canonical(self._about)).hexdigest()
        return f"pixel cache, {self.size} x {self.size}, sha256 {made}"

    def read(self, indices: IntArray) -> Tensor:
        return torch.index_select(self._pixels, 0, torch.tensor(indices))


def prepare(
    root: Path, paths: Sequence[str], size: int, folder: Path, progress: Callable[[int], None] = lambda done: None
) -> Path:
    """Make the cache of `paths` below `root` in `folder`, or go on with one that was stopped; gives its file.

    progress: called with the number of images that are done.

    Raises:
        DataError: an image that is missing or cannot be decoded, or too little space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, part, journal = (folder / f"{_name(paths, size)}.{kind}" for kind in ("pixels", "part", "part.json"))
    about = describe(root, paths, size)
    row = 3 * size * size
    done = _done(part, journal, about, row)
    free = shutil.disk_usage(folder).free
    if free < (len(paths) - done) * row:
        raise DataError(
            f"Expected {(len(paths) - done) * row:,} bytes of free space in {folder} but there are {free:,}; make room."
        )
    images = FileImages(root, paths, size)
    with open(part, "r+b" if part.exists() else "w+b") as out:
        out.truncate(done * row)
        out.seek(done * row)
        while done < len(paths):
            rows = np.arange(done, min(done + CHUNK, len(paths)))
            out.write(images.read(rows).numpy().tobytes())
            out.flush()
            os.fsync(out.fileno())
            done += len(rows)
            write_json(journal, {"about": about, "done": done})
            progress(done)
    file.with_suffix(".json").unlink(missing_ok=True)  # never an older description beside newer pixels
    os.replace(part, file)
    write_json(file.with_suffix(".json"), {**about, "sha256": sha256(file)})
    journal.unlink(missing_ok=True)
    return file


def open_cache(root: Path, paths: Sequence[str], size: int, folder: Path) -> CachedImages | None:
    """The cache of exactly these files, or None where there is none that is whole and made from them.

    Paths and sizes of the files are compared, not their bytes: those of all of COCO take minutes to read.
    """
    file = folder / f"{_name(paths, size)}.pixels"
    try:
        about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        now = {**_decoder(), "count": len(paths), "size": size, "listing": _listing(root, paths)}
        whole = file.stat().st_size == len(paths) * 3 * size * size
        same = isinstance(about, dict) and {key: about.get(key) for key in now} == now
    except (OSError, ValueError):
        return None
    return CachedImages(file, about, paths) if whole and same else None


def damaged_caches(root: Path) -> dict[str, str]:
    """Path -> what is wrong, of every whole pixel cache below a data root whose bytes are not as they were written."""
    wrong = {}
    for file in sorted((root / OWN).glob("*.pixels")):
        try:
            about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
            same = about["sha256"] == sha256(file)
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            wrong[file.relative_to(root).as_posix()] = "changed, or without its description; delete it"
    return wrong


def open_images(root: Path, paths: Sequence[str], size: int, folder: Path | None = None) -> ImageSource:
    """The pixel cache where there is a whole, matching one (in `root`/.clbench by default), else the files."""
    return open_cache(root, paths, size, folder or root / OWN) or FileImages(root, paths, size)


def describe(root: Path, paths: Sequence[str], size: int) -> dict[str, Any]:
    """What a cache is made from: shape, decoder, hashes of the files' sizes and of their bytes. Raises DataError."""
    try:
        hashes = [sha256(root / path) for path in paths]
        listing = _listing(root, paths)
    except OSError as error:
        raise DataError(f"Expected to read every image below {root} but got: {error}; restore it.") from error
    source = hashlib.sha256(canonical([[path, each] for path, each in zip(paths, hashes, strict=True)])).hexdigest()
    return {**_decoder(), "count": len(paths), "size": size, "listing": listing, "source": source}


def _decoder() -> dict[str, str]:
    return {
        "decoder": f"torchvision {torchvision.__version__}, torch {torch.__version__}",
        "resize": "bicubic, antialiased, straight to a square",
    }


def _listing(root: Path, paths: Sequence[str]) -> str:
    return hashlib.sha256(canonical([[path, (root / path).stat().st_size] for path in paths])).hexdigest()


def _name(paths: Sequence[str], size: int) -> str:
    return f"{hashlib.sha256(canonical(list(paths))).hexdigest()[:16]}-{size}"


def _done(part: Path, journal: Path, about: dict[str, Any], row: int) -> int:
    """How many rows of an earlier attempt can be kept."""
    try:
        note = json.loads(journal.read_text(encoding="utf-8"))
        done = int(note["done"]) if note["about"] == about else 0
        return done if part.stat().st_size >= done * row else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
