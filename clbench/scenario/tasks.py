"""What a strategy learns: a scenario is an immutable sequence of tasks over one labelled image collection.

Nothing here has a cursor or a hidden order: iterating twice gives the same tasks, and a slice is a tuple of tasks.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, overload

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray
from clbench.data.collection import ImageSource
from clbench.scenario.samples import ReplayLabels, Samples

GROUPS = ("majority", "moderate", "minority")
"""Frequency groups of the long-tailed scenarios, from frequent to rare (Kim et al., PRS)."""


@dataclass(frozen=True, eq=False)
class Task:
    """One step of the sequence. All indices are dataset indices into the scenario's arrays.

    classes: columns that this task introduces.
    train: (n,) int64; labels: (n, C) uint8, as the protocol shows them; known: (n, C) bool, False where it hides them.
    test: (k,) int64, the images that it is evaluated on; tasks may share some.
    """

    name: str
    classes: tuple[int, ...]
    train: IntArray
    labels: LabelArray
    known: BoolArray
    test: IntArray

    def __post_init__(self) -> None:
        if self.labels.shape != self.known.shape or len(self.labels) != len(self.train):
            raise ValueError(
                f"task named {self.name}: expected labels and known of one shape with {len(self.train)} rows but got "
                f"{self.labels.shape} and {self.known.shape}"
            )
        for array in (self.train, self.labels, self.known, self.test):
            array.flags.writeable = False

    @property
    def samples(self) -> Samples:
        """All training images, as the protocol shows them."""
        return Samples(self.train, self.labels, self.known)


def called(number: int, name: str) -> str:
    """What people are told of a task: counted from 1, with its name where that says more than its place.

    number: from 0, as in code and in files.
    """
    return f"task {number + 1}" + ("" if name == str(number) else f" (named {name})")


@dataclass(frozen=True)
class Drawn:
    """Tasks that the run's seed has drawn.

    seed: that. source: a hash of what they were drawn from, the same for every seed: what the runs of one row share.
    """

    seed: int
    source: str


@dataclass(frozen=True, eq=False)
class Scenario(Sequence[Task]):
    """A sequence of tasks with the collection that it is made of.

    ids: (N,), what names each image in its dataset.
    classes: (C,) column names, in the order of the head.
    labels: (N, C) uint8, the full truth; training sees a task's `labels`, evaluation the rows of its `test`.
    groups: group name -> columns, e.g. majority, moderate, minority; may be empty.
    protocol: named axis -> value; printed with every table.
    replay: what stored samples say in later tasks; None where they say what was stored.
    growing: whether the head grows with each task, so that a strategy knows nothing of the classes to come. The tasks'
        columns then stand one after another.
    absent: paths of images that belong to the scenario but could not be had.
    scored: (N, C) bool, False where an image that is tested on has a label that no metric may use; None: all count.
    drawn: where the run's seed has drawn the tasks; None where they are the same for every seed.
    notes: what is smaller or other than the scenario's definition says (images missing, lists incomplete …).
    """

    name: str
    ids: tuple[int | str, ...]
    classes: tuple[str, ...]
    labels: LabelArray
    images: ImageSource
    tasks: tuple[Task, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    protocol: Mapping[str, str] = field(default_factory=dict)
    replay: ReplayLabels | None = None
    growing: bool = False
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scored: BoolArray | None = None
    drawn: Drawn | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.ids), len(self.classes)):
            raise ValueError(
                f"expected labels of shape {(len(self.ids), len(self.classes))} but got {self.labels.shape}"
            )
        if self.scored is not None:
            if self.scored.shape != self.labels.shape:
                raise ValueError(f"expected scored of shape {self.labels.shape} but got {self.scored.shape}")
            self.scored.flags.writeable = False
        if self.replay and not self.growing:
            raise ValueError("expected a growing head where replayed labels change")
        columns = [c for task in self.tasks for c in task.classes]
        if self.growing and columns != list(range(len(columns))):
            raise ValueError(f"expected the columns of a growing head in the order of the tasks but got {columns}")
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.tasks)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        return self.tasks[index]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def train_indices(self) -> IntArray:
        """Every image that some task trains on, once, in ascending order: (n,) int64 dataset indices."""
        return np.unique(np.concatenate([task.train for task in self.tasks]))

    def test_indices(self) -> IntArray:
        """Every test image once, task after task: (N_test,) int64, the rows of the saved logits."""
        every = np.concatenate([task.test for task in self.tasks])
        _, first = np.unique(every, return_index=True)
        return every[np.sort(first)]

    def tested(self, indices: IntArray) -> LabelArray:
        """The true labels (n, C) uint8 of images that are tested on; 0 where a label is not scored."""
        truth = self.labels[indices]
        return truth if self.scored is None else truth * self.scored[indices]

    def joined(self) -> "Scenario":
        """The same collection as a single task with full labels: what `joint` trains on."""
        train = self.train_indices()
        labels = self.labels[train].copy()
        classes = tuple(c for task in self.tasks for c in task.classes)
        everything = Task("all", classes, train, labels, np.ones_like(labels, np.bool_), self.test_indices())
        return replace(self, tasks=(everything,), replay=None)

    def manifest(self) -> dict[str, Any]:
        """What the data are: sizes, class names, notes, and a SHA-256 over ids, labels, masks, order and images.

        Two runs with the same hash saw the same data: the same pixels, or image files of the same sizes, in the same
        order, of which some have the same bytes (see `fingerprint` of the image source; `clbench data verify` compares
        every byte). Names and times of files do not count, so a copy of the data is the same data.

        train_positives: for each class the training images that are shown with it, over all tasks. drawn: only where
            there is one.
        """
        digest = hashlib.sha256()

        def add(*parts: object) -> None:
            digest.update(repr(parts).encode())

        add(self.classes, tuple(sorted(self.groups.items())), self.images.fingerprint)
        for task in self.tasks:
            add(task.name, task.classes, [self.ids[i] for i in task.train], [self.ids[i] for i in task.test])
            digest.update(task.labels.tobytes())
            digest.update(task.known.tobytes())
            digest.update(self.labels[task.test].tobytes())
            if self.scored is not None:
                digest.update(self.scored[task.test].tobytes())
            if self.replay:  # then replayed samples may show more of the truth than the task did
                digest.update(self.replay.truth[task.train].tobytes())
        return {
            "scenario": self.name,
            "hash": digest.hexdigest(),
            "images": self.images.fingerprint,
            "classes": list(self.classes),
            "groups": {name: [self.classes[c] for c in columns] for name, columns in self.groups.items()},
            "train_positives": sum(task.labels.sum(0, np.int64) for task in self.tasks).tolist(),
            "tasks": [
                {
                    "name": task.name,
                    "classes": [self.classes[c] for c in task.classes],
                    "train": len(task.train),
                    "test": len(task.test),
                }
                for task in self.tasks
            ],
            "absent": len(self.absent),
            "notes": list(self.notes),
            **({"drawn": asdict(self.drawn)} if self.drawn else {}),
        }
