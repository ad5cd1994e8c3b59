"""What a strategy learns: a scenario is an immutable sequence of tasks over one labelled image collection.

Nothing here has a cursor or a hidden order: iterating twice gives the same tasks, and a slice is a tuple of tasks.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload

import numpy as np
import numpy.typing as npt

from clbench.randomness import generator

if TYPE_CHECKING:  # torch takes seconds to import, and scenarios are listed without it
    from torch import Tensor

    from clbench.scenario.protocols import ReplayLabels

IntArray = npt.NDArray[np.int64]
LabelArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

GROUPS = ("majority", "moderate", "minority")
"""Frequency groups of the long-tailed scenarios, from frequent to rare (Kim et al., PRS)."""


class ImageSource(Protocol):
    """Where pixels come from."""

    @property
    def size(self) -> int:
        """Height and width in pixels of every image that `read` gives."""

    @property
    def fingerprint(self) -> str:
        """What the pixels are, for the manifest: a hash of them, or how they are made from files."""

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
class Samples:
    """Which samples, and their labels as the protocol shows them; on the CPU, without pixels.

    indices: (B,) int64 dataset indices; labels: (B, C) uint8 in {0, 1}; known: (B, C) bool.
    """

    indices: IntArray
    labels: LabelArray
    known: BoolArray


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
                f"task {self.name}: expected labels and known of one shape with {len(self.train)} rows but got "
                f"{self.labels.shape} and {self.known.shape}"
            )
        for array in (self.train, self.labels, self.known, self.test):
            array.flags.writeable = False


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
    replay: "ReplayLabels | None" = None
    growing: bool = False
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.ids), len(self.classes)):
            raise ValueError(
                f"expected labels of shape {(len(self.ids), len(self.classes))} but got {self.labels.shape}"
            )
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

    def joined(self) -> "Scenario":
        """The same collection as a single task with full labels: what `joint` trains on."""
        train = self.train_indices()
        labels = self.labels[train].copy()
        classes = tuple(c for task in self.tasks for c in task.classes)
        everything = Task("all", classes, train, labels, np.ones_like(labels, np.bool_), self.test_indices())
        return replace(self, tasks=(everything,), replay=None)

    def limited(self, n: int) -> "Scenario":
        """At most n training and n test images of each task, drawn with a fixed seed, in the task's own order."""

        def few(count: int, *purpose: str | int) -> IntArray:
            return np.sort(generator(0, "limit", *purpose).permutation(count)[:n])

        tasks = []
        for number, task in enumerate(self.tasks):
            train, test = few(len(task.train), "train", number), few(len(task.test), "test", number)
            tasks.append(
                replace(
                    task,
                    train=task.train[train],
                    labels=task.labels[train],
                    known=task.known[train],
                    test=task.test[test],
                )
            )
        note = f"limited to {n} training and {n} test images of each task"
        return replace(self, tasks=tuple(tasks), notes=(*self.notes, note))

    def manifest(self) -> dict[str, Any]:
        """What the data are: sizes, class names, notes, and a SHA-256 over ids, labels, masks, order and pixels.

        Two runs with the same hash saw the same data. train_positives: for each class the training images that are
        shown with it, over all tasks.
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
        }


@dataclass(frozen=True)
class NoOptions:
    """For a plugin without options."""


class ScenarioBuilder(ABC):
    """Builds one scenario; the file it stands in names it (`coco_seq.py` -> `coco-seq`).

    What `tasks`, `protocol` and `defaults` tell must be known without the data, as `clbench show` prints it.
    """

    Options: ClassVar[type[Any]] = NoOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Section (`train`, `model`, `memory`) -> options whose defaults differ on this scenario."""
    dataset: ClassVar[str] = ""
    """Family of its images: coco, voc or nuswide. Weights that were trained on it are flagged as a leak."""

    def __init__(self, options: Any = None, data_root: Path | None = None) -> None:
        self.options = self.Options() if options is None else options
        self.data_root = data_root

    @property
    def name(self) -> str:
        """The name on the command line, from the file's name."""
        return type(self).__module__.rsplit(".", 1)[-1].lstrip("_").replace("_", "-")

    @abstractmethod
    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        """Class names per task, in order; None where only the data can tell (then `protocol` says so)."""

    @abstractmethod
    def protocol(self) -> dict[str, str]:
        """The named axes: images, missing, replay_labels, eval_images, threshold, class order and what else matters."""

    def data_parts(self) -> tuple[DataPart, ...]:
        """What must stand below the data root; nothing by default, for scenarios that are made."""
        return ()

    @abstractmethod
    def build(self) -> Scenario:
        """The scenario. Raises DataError where data are missing or damaged."""
