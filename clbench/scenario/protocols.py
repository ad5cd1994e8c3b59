"""Protocols: pure functions from label matrices to tasks.

labels: (N, C) uint8 in {0, 1}, one row for each image. Rows and columns are given and returned as indices into it.
groups: the columns of each task. The axes on which papers differ have one name and a few values each:

images: which tasks a training image enters. `overlapping`: every task that it shows a class of (the KRT family);
    `disjoint`: one of these, drawn at random (the AGCN family); `exclusive`: its only one, and images that show classes
    of several tasks are left out (PRS).
missing: what a task says of the older classes. `negative`: absent, as the KRT family's baselines are trained;
    `masked`: nothing. With exclusive images nothing is missing.
replay_labels: what a stored image says when it is replayed in a later task. `frozen`: what it said when it was stored;
    `forward`: also the true labels of the tasks since (KRT's code); `full`: all true labels of the tasks so far.
eval_images: `seen-positive`: after each task, the test images that show a class seen so far (the KRT family, AGCN);
    `all`: every test image after every task. Scores are those of the seen classes in both.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray
from clbench.errors import DataError, UsageError, unknown
from clbench.randomness import generator
from clbench.scenario.tasks import called

IMAGES = ("overlapping", "disjoint", "exclusive")
MISSING = ("negative", "masked")
REPLAY_LABELS = ("frozen", "forward", "full")
EVAL_IMAGES = ("seen-positive", "all")

BY_SEED = "seed"
"""An order of classes that each run draws from its own seed."""

EXCLUSIVE = {
    "images": "exclusive",
    "missing": "none (exclusive images)",
    "replay_labels": "frozen",
    "eval_images": "those of the tasks so far",
    "threshold": "0.5",
}
"""Axes of a scenario whose images show labels of one task only, as PRS has it: no label is missing or hidden."""


def blocks(classes: int, base: int, step: int) -> tuple[tuple[int, ...], ...]:
    """Columns cut into tasks as in B<base>-C<step>: `base` classes first, then `step` each; base 0 starts with `step`.

    Raises:
        UsageError: the classes do not divide evenly.
    """
    first = base or step
    if step < 1 or base < 0 or first > classes or (classes - first) % step:
        raise UsageError(
            f"Expected a base and a step that divide {classes} classes evenly but got base {base} and step {step}; "
            f"choose a step that divides {classes - base if 0 <= base < classes else classes}."
        )
    ends = range(first, classes + 1, step)
    return tuple(tuple(range(end - (first if end == first else step), end)) for end in ends)


def ordered(classes: Sequence[str], order: str) -> tuple[str, ...]:
    """The classes in the order in which they are learned.

    order: `alphabetical` (by code point, as Python sorts); `random:<seed>`; or all the names, separated by commas.

    Raises:
        UsageError: another text, a name that is unknown, missing or given twice.
    """
    if order == "alphabetical":
        return tuple(sorted(classes))
    if match := re.fullmatch(r"random:(\d+)", order):
        alphabetical = sorted(classes)
        return tuple(alphabetical[i] for i in generator(int(match[1]), "class order").permutation(len(alphabetical)))
    names = tuple(name.strip() for name in order.split(","))
    for name in names:
        if name not in classes:
            raise UsageError(
                unknown("class", name, classes, "order: alphabetical, random:SEED, seed, or all the names.")
            )
    if len(names) != len(classes) or len(set(names)) != len(names):
        raise UsageError(f"Expected order to name each of {len(classes)} classes once but got {len(names)} names.")
    return names


def overlapping(labels: LabelArray, groups: Sequence[Sequence[int]]) -> list[IntArray]:
    """Rows of each task: every image that shows one of its classes; an image enters as many tasks as it shows."""
    return [np.flatnonzero(labels[:, list(columns)].any(axis=1)) for columns in groups]


def disjoint(labels: LabelArray, groups: Sequence[Sequence[int]], seed: int) -> list[IntArray]:
    """Rows of each task: every image that shows a class enters one of the tasks whose classes it shows.

    Which one is drawn uniformly for each image, from a generator of `seed`; how AGCN drew its lists is not known.
    """
    shown = np.array([labels[:, list(columns)].any(axis=1) for columns in groups]).reshape(-1, len(labels)).T
    order = np.cumsum(shown, axis=1)  # (N, T): the how-manieth of the image's tasks
    draws = np.floor(generator(seed, "disjoint").random(len(labels)) * order[:, -1]).astype(np.int64) + 1
    chosen = shown & (order == draws[:, None])
    return [np.flatnonzero(chosen[:, task]) for task in range(len(groups))]


def task_rows(labels: LabelArray, groups: Sequence[Sequence[int]], images: str, seed: int = 0) -> list[IntArray]:
    """Rows of each task; `images` is one of `IMAGES`, `seed` counts for `disjoint` alone."""
    if images == "disjoint":
        return disjoint(labels, groups, seed)
    if images == "exclusive":
        home = exclusive(labels, groups)
        return [np.flatnonzero(home == task) for task in range(len(groups))]
    return overlapping(labels, groups)


def visible(
    labels: LabelArray, groups: Sequence[Sequence[int]], task: int, missing: str
) -> tuple[LabelArray, BoolArray]:
    """What a task shows of its images' true labels (n, C): labels (n, C) uint8 and known (n, C) bool.

    Labels outside the task's own classes are 0; known are the task's classes, and with `negative` those before it too.
    """
    shown, known = np.zeros_like(labels), np.zeros(labels.shape, np.bool_)
    current = list(groups[task])
    shown[:, current] = labels[:, current]
    for columns in groups[: task + 1] if missing == "negative" else [current]:
        known[:, list(columns)] = True
    return shown, known


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
        names = [called(number, name) for number, name in enumerate(rows_by_task)]
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
