"""Class-incremental scenarios in the field's notation: `<dataset>-b<base>-c<step>`, for coco, voc, nuswide and digits.

The first task introduces <base> classes (b0: as many as each step), each later one <step>, in alphabetical order by
default; any numbers that divide the classes evenly will do. Papers use one name for several protocols: which images
enter a task, what a task says of older classes, what replayed images say, and which test images are scored are options
here, and every table prints them.

Source: the KRT family, which begins with Dong et al., "Knowledge Restore and Transfer for Multi-Label Class-Incremental
Learning" (KRT), ICCV 2023 (github.com/witdsl/KRT-MLCIL), and goes on with CSC, L3A and MULTI-LANE, and for
`nuswide-b41-c5` CUTER (ICML 2025; github.com/wxr99/Cut-Replay): released code read, of the papers their openings at
most. docs/protocols.md says which choice is whose.

Matched: the tasks of coco-b0-c10 are those of the released code, class by class
(tests/scenarios/test_class_incremental.py::test_the_tasks_of_coco_b0_c10_are_the_papers). The numbers of classes are
those of the papers' names (tests/scenarios/test_class_incremental.py::test_tasks_are_known_without_data). An image
enters every task that it shows a class of
(tests/scenario/test_protocols.py::test_an_image_enters_every_task_that_it_shows).

Differs: defaults are those of the KRT family as its code has them, except that replayed images keep the labels that
they were stored with, that the head really grows, and that backbone, schedule, augmentation and normalisation are not
KRT's; every table names these.

Never run: on COCO, VOC or NUS-WIDE themselves; all runs so far are on made files of their layouts, and digits-b0-c4.
"""

import re
from pathlib import Path
from typing import Any

from clbench.data.collection import Collection, DataPart
from clbench.errors import UsageError, unknown
from clbench.scenario.incremental import Incremental
from clbench.scenario.paper import Paper
from clbench.scenario.protocols import blocks, ordered
from clbench.scenario.sources import DATASETS

PATTERN = r"(coco|voc|nuswide|digits)-b(\d{1,3})-c(\d{1,3})"
NAMES = {
    "digits-b0-c4": "Made scenes of digits, 20 labels in 5 tasks of 4: nothing to download.",
    "coco-b0-c10": "COCO, 80 classes in 8 tasks of 10.",
    "coco-b40-c10": "COCO, 40 classes, then 4 tasks of 10.",
    "coco-b20-c4": "COCO, 20 classes, then 15 tasks of 4.",
    "coco-b0-c5": "COCO, 80 classes in 16 tasks of 5.",
    "voc-b0-c4": "VOC 2007, 20 classes in 5 tasks of 4.",
    "voc-b10-c2": "VOC 2007, 10 classes, then 5 tasks of 2.",
    "voc-b5-c3": "VOC 2007, 5 classes, then 5 tasks of 3.",
    "voc-b4-c2": "VOC 2007, 4 classes, then 8 tasks of 2.",
    "nuswide-b41-c5": "NUS-WIDE, 41 classes, then 8 tasks of 5.",
}


def krt(lr: Any, size: str) -> Paper:
    """lr: of Adam. size: of its memory."""
    return Paper(
        "KRT (ICCV 2023, its released code)",
        {
            "scenario": {
                "order": "alphabetical",
                "images": "overlapping",
                "missing": "negative",
                "replay_labels": "forward",
                "eval_images": "seen-positive",
                "threshold": 0.8,
                "image_size": 224,
            },
            "model": {"backbone": "TResNet-M", "weights": "ImageNet-21k, as its README calls them"},
            "train": {
                "epochs": 20,
                "batch_size": ("64 on each of 2 GPUs", 128),
                "optimizer": "adam",
                "lr": lr,
                "weight_decay": "1e-4, not on vectors",
                "loss": "asl",
                "reduction": "sum",
            },
            "memory": {"size": size},
        },
        beyond=("OneCycle learning rates", "Cutout and RandAugment", "pixels without normalisation"),
    )


CUTER = Paper(
    "CUTER (ICML 2025, its released code)",
    {
        "scenario": {
            "images": "overlapping",
            "missing": "masked",
            "eval_images": "seen-positive",
            "threshold": 0.8,
            "image_size": 224,
        },
        "model": {"backbone": "ViT-S/16"},
        "train": {"epochs": 1, "batch_size": 20, "optimizer": "adam", "lr": 1e-5, "loss": "asl"},
        "memory": {"size": "1600"},
    },
    beyond=("Cutout and RandAugment", "pixels without normalisation"),
)
KRT_COCO, KRT_VOC = krt("4e-5 in the first task, then 1e-4", "20/class"), krt(4e-5, "2/class")
PAPERS = {
    **dict.fromkeys(("coco-b0-c10", "coco-b40-c10", "coco-b20-c4", "coco-b0-c5"), KRT_COCO),
    **dict.fromkeys(("voc-b0-c4", "voc-b10-c2"), KRT_VOC),
    "nuswide-b41-c5": CUTER,
}
"""Whose code has these numbers of classes."""


class ClassIncremental(Incremental):
    """One dataset, base and step; see the module's docstring."""

    def __init__(self, options: Any = None, data_root: Path | None = None, *, name: str) -> None:
        """Raises UsageError for a name of another form, and where base and step do not divide the classes."""
        match = re.fullmatch(PATTERN, name)
        if match is None:
            raise UsageError(unknown("scenario", name, NAMES, "Or any <dataset>-b<base>-c<step>."))
        self.source, self.base, self.step = DATASETS[match[1]], int(match[2]), int(match[3])
        blocks(len(self.source.classes), self.base, self.step)
        self.Options, self.defaults, self.dataset = self.source.options, self.source.defaults, self.source.name
        super().__init__(options, data_root, name=f"{self.dataset}-b{self.base}-c{self.step}")  # without leading zeros

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        names = ordered(self.source.classes, self.order)
        return tuple(tuple(names[c] for c in columns) for columns in blocks(len(names), self.base, self.step))

    def protocol(self) -> dict[str, str]:
        return {"dataset": self.source.title, **super().protocol(), **self.source.axes(self.options)}

    def paper(self) -> Paper | None:
        return PAPERS.get(self.name)

    def data_parts(self) -> tuple[DataPart, ...]:
        return self.source.parts(self.data_root)

    def collection(self) -> Collection:
        return self.source.read(self.data_root, self.options)
