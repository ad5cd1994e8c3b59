"""A labelled image collection with its official training and test part: what protocols cut into tasks."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.errors import DataError
from clbench.scenario.tasks import DataPart, ImageSource, LabelTable

IntArray = npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class Dataset:
    """What is known of a collection without its files.

    title: its name with its source. classes: all of them. parts: data root -> what stands below it. options: the
    dataclass of its scenario options. defaults: as in `ScenarioBuilder`. axes: option -> the words that `protocol`
    prints for it. read: (data root, options) -> the collection; raises DataError.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    parts: Callable[[Path | None], tuple[DataPart, ...]]
    options: type[Any]
    defaults: Mapping[str, Mapping[str, Any]]
    read: Callable[[Path | None, Any], Collection]
    axes: Callable[[Any], dict[str, str]] = field(default=lambda options: {})


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
