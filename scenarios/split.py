"""The most frequent classes of a dataset in tasks of equal size, each image in one: the kind of split that AGCN has.

Which classes AGCN's lists are of, and by what rule an image enters one task, the lists do not say. Ours: the classes
with the most training images, in alphabetical order, and for each image one of its tasks, drawn with a fixed seed.
Numbers are not comparable with those of `coco-b<base>-c<step>` and `nuswide-b<base>-c<step>`, where an image enters
every task that it shows a class of.

Source: Du et al., "AGCN: Augmented Graph Convolutional Network for Lifelong Multi-label Image Recognition", ICME 2022
(released code and lists read, github.com/Kaile-Du/AGCN), has two: Split-COCO, 40 COCO classes in 10 tasks of 4, with
65,072 training and 27,173 test images, and Split-WIDE, 21 NUS-WIDE classes in 7 tasks of 3, with 144,858 and 41,146.

Matched: epochs, batch, optimiser and learning rate are AGCN's
(tests/scenarios/test_split.py::test_training_is_as_agcn_released_it), and so are disjoint images, threshold and image
size (tests/scenarios/test_split.py::test_options_are_the_datasets_with_three_defaults_of_agcns). An image enters one
task (tests/scenarios/test_split.py::test_an_image_enters_one_task_unless_told_otherwise).

Differs: classes and images are not AGCN's, so nor are the sizes; no flips, and random weights by default.

Never run: on COCO or NUS-WIDE themselves.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clbench.data.collection import Collection, DataPart
from clbench.errors import UsageError, unknown
from clbench.options import option
from clbench.scenario.incremental import Incremental
from clbench.scenario.paper import Paper
from clbench.scenario.protocols import IMAGES, blocks, ordered
from clbench.scenario.sources import AGCN_TRAIN, COCO, NUSWIDE, CocoOptions, Dataset, FileOptions

NAMES = {
    "split-coco": "Disjoint images, 40 COCO classes in 10 tasks of 4: the kind of split that AGCN calls Split-COCO.",
    "split-nuswide": (
        "Disjoint images, 21 NUS-WIDE classes in 7 tasks of 3: the kind of split that AGCN calls Split-WIDE."
    ),
}


@dataclass(frozen=True)
class SplitOptions:
    """What AGCN has otherwise than the dataset's other scenarios; goes before the dataset's own options."""

    images: str = option("disjoint", "which tasks a training image enters; AGCN: disjoint", choices=IMAGES)
    threshold: float = option(0.5, "probability above which a class counts as predicted; AGCN: logit 0", above=0.0)
    image_size: int = option(448, "height and width of the images in pixels; AGCN: 448", at_least=1)


@dataclass(frozen=True)
class SplitCocoOptions(SplitOptions, CocoOptions):
    """Of split-coco."""


@dataclass(frozen=True)
class SplitNusWideOptions(SplitOptions, FileOptions):
    """Of split-nuswide."""


class Cut(NamedTuple):
    """So many classes of a dataset in tasks of `step`."""

    source: Dataset
    options: type[Any]
    classes: int
    step: int


CUTS = {"split-coco": Cut(COCO, SplitCocoOptions, 40, 4), "split-nuswide": Cut(NUSWIDE, SplitNusWideOptions, 21, 3)}

AGCN = Paper(
    "AGCN (ICME 2022, its released code)",
    {
        "scenario": {"images": "disjoint", "threshold": 0.5, "image_size": 448},
        "model": {"backbone": "resnet101"},
        "train": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "lr": 1e-4},
    },
    beyond=("its own lists of classes and images", "horizontal flips"),
)


class Split(Incremental):
    """The most frequent classes of one dataset; see the module's docstring."""

    defaults = {"train": AGCN_TRAIN}

    def __init__(self, options: Any = None, data_root: Path | None = None, *, name: str) -> None:
        """Raises UsageError for another name than those of `NAMES`."""
        if name not in CUTS:
            raise UsageError(unknown("scenario", name, NAMES))
        self.source, self.Options, self.classes, self.step = CUTS[name]
        self.dataset = self.source.name
        super().__init__(options, data_root, name=name)

    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        return None

    def task_classes(self, collection: Collection) -> tuple[tuple[str, ...], ...]:
        counts = collection.table.labels[collection.train].sum(axis=0, dtype=np.int64)
        most = np.argsort(-counts, kind="stable")[: self.classes]
        names = ordered([collection.table.classes[c] for c in most], self.order)
        return tuple(tuple(names[c] for c in columns) for columns in blocks(self.classes, self.step, self.step))

    def protocol(self) -> dict[str, str]:
        cut = f"{self.classes // self.step} tasks of {self.step}, the {self.classes} classes with most training images"
        return {
            "dataset": self.source.title,
            "tasks": cut,
            **super().protocol(),
            **self.source.axes(self.options),
        }

    def paper(self) -> Paper:
        return AGCN

    def data_parts(self) -> tuple[DataPart, ...]:
        return self.source.parts(self.data_root)

    def collection(self) -> Collection:
        return self.source.read(self.data_root, self.options)
