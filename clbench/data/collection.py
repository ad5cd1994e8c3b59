"""A labelled image collection with its official training and test part: what protocols cut into tasks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clbench.arrays import IntArray, LabelArray
from clbench.errors import DataError

if TYPE_CHECKING:  # torch takes seconds to import, and scenarios are listed without it
    from torch import Tensor


class ImageSource(Protocol):
    """Where pixels come from."""

    @property
    def size(self) -> int:
        """Height and width in pixels of every image that `read` gives."""

    @property
    def fingerprint(self) -> str:
        """What the pixels are, for the manifest: a hash of them, or how they are made and from what files."""

    @property
    def decodes(self) -> bool:
        """Whether each reading works on files, so that it is worth doing ahead and in threads."""

    @property
    def paths(self) -> Sequence[str]:
        """The files that the images come from, relative to the data root; empty where there are none."""

    def read(self, indices: IntArray) -> "Tensor":
        """The images at dataset `indices` (B,): uint8 (B, 3, size, size), on the CPU."""


@dataclass(frozen=True)
class LabelTable:
    """A labelled image collection as a reader gives it.

    ids: what names each image in its dataset, unique, (N,).
    paths: image files, (N,), relative to the data root.
    classes: column names, (C,).
    labels: (N, C) uint8 in {0, 1}.
    """

    ids: tuple[int | str, ...]
    paths: tuple[str, ...]
    classes: tuple[str, ...]
    labels: LabelArray


@dataclass(frozen=True)
class DataPart:
    """One file or folder that a scenario expects below its data root.

    path: relative, with forward slashes; a folder ends with one. what: what it is and where it is from.
    size: roughly, e.g. `241 MB`. required: False where the scenario can be built without it.
    """

    path: str
    what: str
    size: str = ""
    required: bool = True


@dataclass(frozen=True, eq=False)
class Collection:
    """Images with their labels and their two parts.

    train, test: rows of `table`, (n,) and (k,) int64. absent: paths of images that could not be had; no row has them.
    notes: what is smaller or other than the collection's definition says.
    """

    table: LabelTable
    train: IntArray
    test: IntArray
    images: ImageSource
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def in_columns(table: LabelTable, classes: Sequence[str]) -> LabelTable:
    """The table with these classes as its columns; one that it does not have is a column of zeros."""
    column = {name: number for number, name in enumerate(table.classes)}
    labels = np.zeros((len(table.ids), len(classes)), np.uint8)
    for number, name in enumerate(classes):
        if name in column:
            labels[:, number] = table.labels[:, column[name]]
    return replace(table, classes=tuple(classes), labels=labels)


def used(table: LabelTable, train: IntArray, test: IntArray) -> tuple[LabelTable, IntArray, IntArray]:
    """The table without the rows that are in neither part, and the parts as its rows."""
    rows = np.union1d(train, test)
    few = replace(
        table,
        ids=tuple(table.ids[row] for row in rows),
        paths=tuple(table.paths[row] for row in rows),
        labels=table.labels[rows],
    )
    return few, np.searchsorted(rows, train), np.searchsorted(rows, test)


def missing_files(root: Path, paths: Sequence[str]) -> set[str]:
    """Those of `paths` (relative, with forward slashes) that do not exist; one listing for each folder, no `stat`."""
    folders: dict[str, set[str]] = {}
    missing = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            there = (root / folder).is_dir()
            folders[folder] = set(os.listdir(root / folder)) if there else set()
        if name not in folders[folder]:
            missing.add(path)
    return missing


def without_missing(
    root: Path, table: LabelTable, rows: IntArray, *, allow_missing: bool
) -> tuple[IntArray, tuple[str, ...]]:
    """Those of `rows` whose image file is there, and the paths of the others.

    Raises:
        DataError: some are not there, and `allow_missing` is False.
    """
    paths = [table.paths[row] for row in rows]
    gone = missing_files(root, paths)
    if gone and not allow_missing:
        few = ", ".join(sorted(gone)[:3])
        raise DataError(
            f"Expected every image to be there as a file below {root} but {len(gone):,} of {len(paths):,} are missing, "
            f"e.g. {few}; complete them, or leave them out with --allow-missing."
        )
    kept = np.array([path not in gone for path in paths], np.bool_)
    return rows[kept], tuple(sorted(gone))
