"""Class-incremental scenarios: a collection's classes in blocks, one task each, under the axes of `protocols`.

What all of them share: the options, the words for the protocol, and the way from a collection to a scenario. The head
grows with the tasks, and evaluation scores the classes so far.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clbench.arrays import IntArray, LabelArray
from clbench.data.collection import Collection, in_columns
from clbench.errors import DataError, UsageError
from clbench.options import option
from clbench.scenario import protocols
from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.samples import ReplayLabels
from clbench.scenario.tasks import Drawn, Scenario, Task


@dataclass(frozen=True)
class IncrementalOptions:
    """The axes on which papers differ; `clbench.scenario.tasks.protocols` says what each value means."""

    order: str = option(
        "alphabetical", "order of the classes: alphabetical, random:SEED, seed (the run's), or all names"
    )
    images: str = option("overlapping", "which tasks a training image enters", choices=protocols.IMAGES)
    missing: str = option(
        "negative", "what a task says of older classes: absent, or nothing", choices=protocols.MISSING
    )
    replay_labels: str = option("frozen", "what a stored image says in later tasks", choices=protocols.REPLAY_LABELS)
    eval_images: str = option("seen-positive", "test images scored after a task", choices=protocols.EVAL_IMAGES)
    threshold: float = option(0.5, "probability above which a class counts as predicted, for F1", above=0.0)
    split_seed: int = option(0, "images=disjoint: which of its tasks an image enters", at_least=0)


class Incremental(ScenarioBuilder):
    """Builds a scenario from a collection and the classes of each task."""

    Options = IncrementalOptions

    @property
    def seeded(self) -> bool:
        return bool(self.options.order == protocols.BY_SEED)

    @property
    def order(self) -> str:
        """The order of the classes as `protocols.ordered` takes it: `seed` is `random:SEED` with the run's."""
        return f"random:{self.seed}" if self.seeded else str(self.options.order)

    @abstractmethod
    def collection(self) -> Collection:
        """The images and their labels. Raises DataError."""

    def task_classes(self, collection: Collection) -> tuple[tuple[str, ...], ...]:
        """Class names per task, once the data are there; as `tasks` says unless that is None."""
        tasks = self.tasks()
        assert tasks is not None
        return tasks

    def protocol(self) -> dict[str, str]:
        return axes(self.options)

    def build(self) -> Scenario:
        if self.options.threshold >= 1:
            raise UsageError(f"Expected a threshold below 1 but got {self.options.threshold:g}.")
        collection = self.collection()
        tasks = self.task_classes(collection)
        scenario = assemble(self.name, collection, tasks, self.options, self.protocol())
        return replace(scenario, drawn=Drawn(self.seed, source_hash(collection, tasks))) if self.seeded else scenario


def axes(options: IncrementalOptions) -> dict[str, str]:
    """The named axes as tables print them."""
    exclusive = options.images == "exclusive"
    drawn = f", drawn with seed {options.split_seed}" if options.images == "disjoint" else ""
    return {
        "images": f"{options.images}{drawn}",
        "missing": protocols.EXCLUSIVE["missing"] if exclusive else options.missing,
        "replay_labels": options.replay_labels,
        "eval_images": options.eval_images,
        "threshold": f"{options.threshold:g}",
        "class order": "drawn from the seed" if options.order == protocols.BY_SEED else options.order,
        "head": "grows with the tasks; scores of the classes so far",
    }


def assemble(
    name: str,
    collection: Collection,
    tasks: Sequence[Sequence[str]],
    options: IncrementalOptions,
    protocol: dict[str, str],
) -> Scenario:
    """A scenario from a collection, the classes of each task, and the axes.

    Raises:
        DataError: a task without a training or a test image.
    """
    classes = [each for names in tasks for each in names]
    table = in_columns(collection.table, classes)
    ends = np.cumsum([0, *(len(names) for names in tasks)])
    groups = tuple(tuple(range(start, end)) for start, end in zip(ends[:-1], ends[1:], strict=True))
    missing = "negative" if options.images == "exclusive" else options.missing  # then nothing is missing
    train = _by_task(table.labels, collection.train, groups, options.images, options.split_seed)
    seen = _by_task(table.labels, collection.test, groups, "overlapping", 0)
    test = [collection.test] * len(groups) if options.eval_images == "all" else seen
    built = []
    for number, (names, rows, tested) in enumerate(zip(tasks, train, test, strict=True)):
        if not len(rows) or not len(seen[number]):
            raise DataError(
                f"Expected training and test images that show a class of task {number + 1} ({', '.join(names)}) but "
                f"got {len(rows)} and {len(seen[number])}; complete the data or choose larger tasks."
            )
        labels, known = protocols.visible(table.labels[rows], groups, number, missing)
        built.append(Task(str(number), groups[number], rows, labels, known, tested))
    return Scenario(
        name=name,
        ids=table.ids,
        classes=table.classes,
        labels=table.labels,
        images=collection.images,
        tasks=tuple(built),
        protocol=protocol,
        replay=ReplayLabels(table.labels, groups, missing, options.replay_labels),
        growing=True,
        absent=collection.absent,
        notes=(*collection.notes, *_notes(collection, table.labels, classes, train)),
    )


def source_hash(collection: Collection, tasks: Sequence[Sequence[str]]) -> str:
    """What tasks were drawn from, and how, whatever the seed: SHA-256 of both parts, labels, pixels, sizes of tasks.

    The classes stand in the order of seed 0, so that another way of drawing has another hash.
    """
    names = protocols.ordered([each for classes in tasks for each in classes], "random:0")
    labels = in_columns(collection.table, names).labels
    digest = hashlib.sha256(repr((names, [len(each) for each in tasks], collection.images.fingerprint)).encode())
    for rows in (collection.train, collection.test):
        digest.update(repr([collection.table.ids[row] for row in rows]).encode())
        digest.update(labels[rows].tobytes())
    return digest.hexdigest()


def _by_task(
    labels: LabelArray, rows: IntArray, groups: Sequence[Sequence[int]], images: str, seed: int
) -> list[IntArray]:
    return [rows[each] for each in protocols.task_rows(labels[rows], groups, images, seed)]


def _notes(collection: Collection, labels: LabelArray, classes: Sequence[str], train: Sequence[IntArray]) -> list[str]:
    """What was left out, and classes that nothing shows."""
    used = len(np.unique(np.concatenate(train)))
    notes = []
    if used < len(collection.train):
        notes.append(f"{used:,} of {len(collection.train):,} training images enter a task")
    for rows, part in ((collection.train, "training"), (collection.test, "test")):
        unseen = [classes[int(c)] for c in np.flatnonzero(~labels[rows].any(axis=0))]
        notes += [f"no {part} image shows {', '.join(unseen)}"] if unseen else []
    if collection.absent:
        total = len(collection.absent) + len(collection.train) + len(collection.test)
        notes.append(
            f"{len(collection.absent):,} of {total:,} images are not there as files: left out, listed in absent.txt"
        )
    return notes
