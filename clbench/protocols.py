"""Protocols: pure functions from label matrices to tasks.

labels: (N, C) uint8 in {0, 1}, one row for each image. Rows and columns are given and returned as indices into it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from clbench.errors import DataError

EXCLUSIVE = {
    "images": "exclusive",
    "missing": "none (exclusive images)",
    "replay_labels": "frozen",
    "eval_images": "all",
    "threshold": "0.5",
}
"""Axes of a scenario whose images show labels of one task only, as PRS has it: no label is missing or hidden."""

IntArray = npt.NDArray[np.int64]
LabelArray = npt.NDArray[np.uint8]


def class_tasks(
    labels: LabelArray, rows_by_task: Mapping[str, IntArray], classes: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The columns that have a positive in each task, where every class belongs to one task only.

    rows_by_task: task name -> (n,) rows. classes: (C,) column names, for the error.

    Raises:
        DataError: a class has positives in several tasks; the sentence names classes and tasks.
    """
    shown = np.array([labels[rows].any(axis=0) for rows in rows_by_task.values()]).reshape(-1, len(classes))
    clashes = np.flatnonzero(shown.sum(axis=0) > 1)
    if clashes.size:
        names = list(rows_by_task)
        found = [f"{classes[c]!r} in {', '.join(names[t] for t in np.flatnonzero(shown[:, c]))}" for c in clashes[:5]]
        more = f" and {clashes.size - 5} more" if clashes.size > 5 else ""
        raise DataError(
            f"Expected every class in one task only but {clashes.size} of {len(classes)} have images in several tasks: "
            f"{'; '.join(found)}{more}; check that id lists and annotations belong together."
        )
    return {name: tuple(np.flatnonzero(row).tolist()) for name, row in zip(rows_by_task, shown, strict=True)}


def exclusive(labels: LabelArray, class_groups: Sequence[Sequence[int]]) -> IntArray:
    """The only group in which each image has a positive: (N,) int64, -1 where it has none, or some in several groups.

    class_groups: columns of each group. Columns of no group count for nothing.
    """
    shown = np.array([labels[:, list(columns)].any(axis=1) for columns in class_groups]).reshape(-1, len(labels))
    return np.where(shown.sum(axis=0) == 1, np.arange(len(class_groups)) @ shown, -1).astype(np.int64)


def balanced_test(labels: LabelArray, candidates: IntArray, per_class: int, generator: np.random.Generator) -> IntArray:
    """Rows of a class-balanced test set, ascending: (k,) int64, a subset of `candidates`.

    The greedy rule: classes from the rarest to the most frequent among the candidates (the lower column first where
    they tie); each takes candidates that show it, in one random order, until it has `per_class` of them, or half of
    those there are, so that training keeps the other half. An image counts for every label that it has, whichever class
    it was taken for; so a class can come to more than `per_class`, and images without a label are never taken. The
    result does not depend on the order of `candidates`.
    """
    order = generator.permutation(np.unique(candidates))
    shuffled = labels[order].astype(np.bool_)
    available = shuffled.sum(axis=0)
    taken = np.zeros(len(order), np.bool_)
    for column in np.argsort(available, kind="stable"):
        lacking = min(per_class, available[column] // 2) - (taken & shuffled[:, column]).sum()
        if lacking > 0:
            taken[np.flatnonzero(~taken & shuffled[:, column])[:lacking]] = True
    return np.sort(order[taken]).astype(np.int64)
