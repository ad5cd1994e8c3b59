"""Classes by name: where each seed has drawn its own class order, a column is another class in each run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clbench.arrays import FloatArray
from clbench.report.rows import Row
from clbench.store.folder import Run


def class_names(run: Run) -> list[str]:
    """The names of a run's columns, in order."""
    return [str(name) for name in run.env["manifest"]["classes"]]


def by_name(run: Run, values: Sequence[Any], names: Sequence[str]) -> FloatArray:
    """A run's values (..., C), a column for each class, as float64 in the order of `names`; NaN for None."""
    own = class_names(run)
    return np.asarray(values, np.float64)[..., [own.index(name) for name in names]]


def class_counts(row: Row, names: Sequence[str]) -> tuple[list[int], str]:
    """Images of each class, and which were counted; a run folder without training counts knows its test images.

    Of a row whose tasks are drawn from the seed, the mean over its runs that are done.
    """
    runs = row.done if row.drawn else row.done[:1]
    trained = all("train_positives" in run.env["manifest"] for run in runs)
    found = [run.env["manifest"]["train_positives"] if trained else run.metrics["positives"] for run in runs]
    mean = np.mean([by_name(run, counts, names) for run, counts in zip(runs, found, strict=True)], axis=0)
    what = f"{'training' if trained else 'test'} images that have it{', mean over seeds' if row.drawn else ''}"
    return [int(count) for count in np.rint(mean)], what


def stored(row: Row, names: Sequence[str]) -> list[FloatArray]:
    """What the memory holds of each class after each task, (tasks, C) for each run that is done.

    Empty without a memory, or where some run has no record of it.
    """
    counts = [run.metrics.get("memory_counts") or [None] for run in row.done]
    if any(None in found for found in counts):
        return []
    return [by_name(run, found, names) for run, found in zip(row.done, counts, strict=True)]
