"""COCOseq: 70 COCO classes in 4 tasks, long-tailed, by PRS's official id lists or by a rule of the same kind.

Kim, Jeong, Kim, "Imbalanced Continual Learning with Partitioning Reservoir Sampling", ECCV 2020, arXiv 2009.03632.
`--set splits=DIR` takes the image ids from a clone of cdjkim/PRS: tasks 0, 3, 1, 2 in this order, 35,072 training
images, the 6,366 images of the balanced test lists, and majority, moderate and minority classes by the official lists.
Which class is in which task follows from ids and annotations. An image shows classes of one task only, so no label is
missing; classes outside the 70 are dropped from the target. A crowd region counts as its class, as in PRS's dataset
maker. Differs from PRS: COCO's own files (release 2014 or 2017) are decoded and resized while training, not before.

`--set splits=rule` builds `coco-seq-rule` without any list: the images that show classes of one task only, over a given
class-to-task map, with a held-out balanced test set. Its numbers are not comparable with COCOseq's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clbench.data.coco import CROWD, DATA_PARTS, find_layout, missing_files, read_instances, read_json
from clbench.errors import DataError, UsageError, unknown
from clbench.options import option
from clbench.protocols import EXCLUSIVE, balanced_test, class_tasks, exclusive
from clbench.randomness import generator
from clbench.scenario import GROUPS, DataPart, LabelTable, Scenario, ScenarioBuilder, Task

RULE = "rule"

MAJORITY = (
    "train, horse, bird, car, truck, motorcycle, traffic light, skis, airplane, skateboard, giraffe, surfboard, clock, "
    "elephant, zebra, snowboard, frisbee, boat"
).split(", ")
MODERATE = (
    "donut, baseball bat, teddy bear, bear, bowl, sandwich, apple, sink, orange, kite, umbrella, sports ball, toilet, "
    "baseball glove, fire hydrant, tv, chair, dog, tennis racket, tie, sheep, banana, cat, pizza, broccoli, bus, bed, "
    "suitcase, stop sign, dining table, vase, bench, remote, cow, refrigerator, backpack, bottle, scissors"
).split(", ")
MINORITY = (
    "bicycle, potted plant, book, spoon, fork, couch, parking meter, laptop, cake, oven, toothbrush, hot dog, handbag, "
    "carrot"
).split(", ")
EXCLUDED = "person, wine glass, cup, knife, mouse, keyboard, cell phone, microwave, toaster, hair drier".split(", ")
"""The 10 of COCO's 80 categories that COCOseq leaves out."""
VOCABULARY = tuple(sorted(MAJORITY + MODERATE + MINORITY))
"""The 70 classes in the order of the head's columns, as in PRS's `multihot_map.json`."""

OFFICIAL = {"0": (24, 8365, 1960), "3": (14, 7290, 1316), "1": (18, 7814, 1690), "2": (14, 11603, 1400)}
"""Number in the lists' file names -> classes, training and test images on all of COCO, in the order of training."""


class Lists(NamedTuple):
    """COCO image ids of one task."""

    train: list[int | str]
    test: list[int | str]


@dataclass(frozen=True)
class Options:
    splits: str = option(
        "",
        "DIR, a folder of the official id lists from a clone of cdjkim/PRS (dataset/data_source), or rule; required",
        path=True,
    )
    image_size: int = option(256, "height and width of the images in pixels; PRS: 256", at_least=1)
    allow_missing: bool = option(False, "leave out listed images that are not there, counted, instead of failing")
    crowd: str = option("include", "whether a crowd region counts as its class; PRS: include", choices=CROWD)
    class_tasks: str = option(
        "", "rule only: JSON file {class: task number}; else the 70 classes, alphabetical, in 18/18/17/17", path=True
    )
    test_per_class: int = option(50, "rule only: test images of each class, at most half of those it has", at_least=1)


class CocoSeq(ScenarioBuilder):
    """Four tasks over 70 classes; see the module's docstring."""

    Options = Options
    dataset = "coco"
    defaults = {
        "train": {"lr": 1e-4, "batch_size": 10, "epochs": 1, "grad_clip": 5.0, "drop_last": True},
        "model": {"backbone": "resnet101"},
        "memory": {"size": 2000},
    }

    @property
    def by_rule(self) -> bool:
        return bool(self.options.splits == RULE)

    @property
    def name(self) -> str:
        return "coco-seq-rule" if self.by_rule else "coco-seq"

    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        return tuple(read_class_tasks(self.options.class_tasks).values()) if self.by_rule else None

    def protocol(self) -> dict[str, str]:
        options = self.options
        own = "a given map" if options.class_tasks else "alphabetical, 18/18/17/17 classes"
        held_out = f"held out by the rule, balanced, up to {options.test_per_class} of each class"
        return {
            "splits": RULE if self.by_rule else "official",
            **EXCLUSIVE,
            "class order": f"rule: {own}" if self.by_rule else f"official: {', '.join(OFFICIAL)}",
            "head": "all classes from the start",
            "test images": held_out if self.by_rule else "the official balanced lists",
            "crowd regions": "count as their class" if options.crowd == "include" else "do not count",
            "image size": f"{options.image_size} px, bicubic, no augmentation",
        }

    def data_parts(self) -> tuple[DataPart, ...]:
        return DATA_PARTS

    def build(self) -> Scenario:
        if not self.options.splits:
            raise UsageError(
                "Expected --set splits=DIR, a folder of the official id lists from a clone of cdjkim/PRS "
                "(its dataset/data_source), or --set splits=rule, but got neither; choose one."
            )
        # What is quick to check comes before the annotations: all of COCO takes seconds to read.
        tasks = read_class_tasks(self.options.class_tasks) if self.by_rule else {}
        lists = {} if self.by_rule else read_lists(Path(self.options.splits))
        if self.data_root is None:
            raise UsageError("Expected --data-root DIR, the folder of COCO's annotations and images, but got none.")
        layout = find_layout(self.data_root)
        table = read_instances(layout.parts, crowd=self.options.crowd)
        notes = [f"{file} is not there" for file in layout.absent]
        classes = tuple(sorted(name for names in tasks.values() for name in names)) or VOCABULARY
        absent = [name for name in classes if name not in table.classes]
        notes += [f"the annotations have no category {', '.join(absent)}"] if absent else []
        table = in_columns(table, classes)
        if self.by_rule:
            lists = split_by_rule(table, tasks, self.options.test_per_class)
            notes.append(rule_note(table, lists))
        lists, left_out = self._available(lists, table, self.data_root, layout.absent)
        return self._assemble(lists, table, self.data_root, [*notes, *left_out])

    def _available(
        self, lists: Mapping[str, Lists], table: LabelTable, root: Path, absent: Sequence[str]
    ) -> tuple[dict[str, Lists], list[str]]:
        """The lists without the images that cannot be had, and what was left out. Raises DataError."""
        path = dict(zip(table.ids, table.paths, strict=True))
        listed = [image for task in lists.values() for part in task for image in part]
        unread = [image for image in listed if image not in path]
        gone = missing_files(root, [path[image] for image in listed if image in path])
        without = [image for image in listed if path.get(image) in gone]
        notes = []
        for images, where in ((unread, "in the annotations"), (without, "there as a file")):
            if images and not self.options.allow_missing:
                few = ", ".join(path.get(image, str(image)) for image in images[:3])
                parts = f" ({', '.join(absent)} is not there)" if absent else ""
                raise DataError(
                    f"Expected every listed image to be {where} below {root} but {len(images):,} of {len(listed):,} "
                    f"are missing, e.g. {few}{parts}; complete COCO there, or leave them out with --allow-missing."
                )
            if images:
                notes.append(f"{len(images):,} of {len(listed):,} listed images are not {where}: left out")
        dropped = {*unread, *without}
        kept = {
            name: Lists(*([image for image in part if image not in dropped] for part in task))
            for name, task in lists.items()
        }
        return kept, notes

    def _assemble(self, lists: Mapping[str, Lists], table: LabelTable, root: Path, notes: Sequence[str]) -> Scenario:
        from clbench.data.images import FileImages  # torch: late, so that listing stays quick

        for name, task in lists.items():
            if not task.train or not task.test:
                raise DataError(
                    f"Expected training and test images in task {name} but got {len(task.train)} and {len(task.test)}; "
                    "complete COCO below the data root."
                )
        # Images stand in the order of the lists, so both releases of COCO give the very same scenario.
        row = {image: number for number, image in enumerate(table.ids)}
        parts = [part for task in lists.values() for part in task]
        rows = np.array([row[image] for part in parts for image in part], np.int64)
        labels, classes = table.labels[rows], table.classes
        ends = np.cumsum([0, *map(len, parts)])
        spans = [np.arange(start, end) for start, end in pairwise(ends)]
        whole = {name: np.concatenate(spans[2 * t : 2 * t + 2]) for t, name in enumerate(lists)}
        introduced = class_tasks(labels, whole, classes)
        tasks = []
        for name, train, test in zip(lists, spans[::2], spans[1::2], strict=True):
            known = np.ones((len(train), len(classes)), np.bool_)
            tasks.append(Task(name, introduced[name], train, labels[train], known, test))
        sizes = [] if self.by_rule else size_notes(tasks)
        return Scenario(
            name=self.name,
            ids=tuple(table.ids[r] for r in rows),
            classes=classes,
            labels=labels,
            images=FileImages(root, [table.paths[r] for r in rows], self.options.image_size),
            tasks=tuple(tasks),
            groups=frequency_groups(classes),
            protocol=self.protocol(),
            notes=(*notes, *label_notes(labels, classes), *sizes),
        )


def read_lists(folder: Path) -> dict[str, Lists]:
    """The official id lists below PRS's clone, its `data_source` or its `COCOseq`, in the order of training.

    Raises:
        DataError: a list that is missing, damaged or not of ids, an id that stands there twice, or columns
            (`multihot_map.json`, where it is there) other than ours.
    """
    places = [folder / below for below in ("dataset/data_source/COCOseq", "COCOseq", ".")]
    base = next((place for place in places if (place / "ids").is_dir()), None)
    if base is None:
        raise DataError(
            f"Expected the official id lists in {folder} (ids/, COCOseq/ids/ or dataset/data_source/COCOseq/ids/) but "
            "found none of these folders; clone cdjkim/PRS from GitHub and give its dataset/data_source."
        )
    columns = base / "multihot_map.json"
    if columns.exists() and read_json(columns) != {name: number for number, name in enumerate(VOCABULARY)}:
        raise DataError(f"Expected {columns} to number the 70 classes alphabetically but it does not; restore it.")
    home: dict[int, str] = {}
    return {
        task: Lists(*(_read_ids(base / "ids" / f"{part}_task{task}_id_coco.json", home) for part in ("train", "test")))
        for task in OFFICIAL
    }


def _read_ids(file: Path, home: dict[int, str]) -> list[int | str]:
    ids = read_json(file)
    if not isinstance(ids, list):
        raise DataError(f"Expected {file} to be a JSON list of image ids but got {type(ids).__name__}; restore it.")
    for place, image in enumerate(ids):
        if type(image) is not int:
            raise DataError(f"Expected an image id, an integer, at [{place}] in {file} but got {image!r}; restore it.")
        if image in home:
            raise DataError(
                f"Expected each image once in one list but {image} is in {home[image]} and again at [{place}] in "
                f"{file}; restore the lists."
            )
        home[image] = file.name
    return ids


def read_class_tasks(file: str) -> dict[str, tuple[str, ...]]:
    """Task -> its classes, of a JSON file {class: task number}; without a file the rule's own map. Raises DataError."""
    if not file:
        return {
            str(task): tuple(map(str, names)) for task, names in enumerate(np.array_split(VOCABULARY, len(OFFICIAL)))
        }
    tasks = read_json(Path(file))
    if not isinstance(tasks, dict) or not tasks or not all(type(task) is int for task in tasks.values()):
        raise DataError(f'Expected {file} to be an object like {{"dog": 0, "cat": 1}}; give each class a task number.')
    for name in tasks:
        if name not in VOCABULARY and name not in EXCLUDED:
            raise DataError(unknown("class", name, [*VOCABULARY, *EXCLUDED], f"Correct it in {file}."))
    return {
        str(number): tuple(sorted(name for name, task in tasks.items() if task == number))
        for number in sorted(set(tasks.values()))
    }


def in_columns(table: LabelTable, classes: tuple[str, ...]) -> LabelTable:
    """The table with these classes as its columns; one that it does not have is a column of zeros."""
    column = {name: number for number, name in enumerate(table.classes)}
    labels = np.zeros((len(table.ids), len(classes)), np.uint8)
    for number, name in enumerate(classes):
        if name in column:
            labels[:, number] = table.labels[:, column[name]]
    return LabelTable(table.ids, table.paths, classes, labels)


def split_by_rule(table: LabelTable, tasks: Mapping[str, Sequence[str]], per_class: int) -> dict[str, Lists]:
    """The images that show classes of one task only: a test set by `balanced_test`, the rest for training."""
    home = exclusive(table.labels, [[table.classes.index(name) for name in names] for names in tasks.values()])
    lists = {}
    for number, task in enumerate(tasks):
        rows = np.flatnonzero(home == number)
        test = balanced_test(table.labels, rows, per_class, generator(0, "coco-seq-rule", "test", task))
        lists[task] = Lists(*([table.ids[r] for r in part] for part in (np.setdiff1d(rows, test), test)))
    return lists


def rule_note(table: LabelTable, lists: Mapping[str, Lists]) -> str:
    """How many images the rule uses."""
    used = sum(len(part) for task in lists.values() for part in task)
    bare = int((~table.labels.any(axis=1)).sum())
    several = len(table.ids) - used - bare
    return (
        f"rule: {used:,} of {len(table.ids):,} images show classes of one task only and are used; {bare:,} show none, "
        f"{several:,} show classes of several tasks"
    )


def frequency_groups(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Group -> columns, by the official lists; a group without any column is left out."""
    members = dict(zip(GROUPS, (MAJORITY, MODERATE, MINORITY), strict=True))
    columns = {group: tuple(c for c, name in enumerate(classes) if name in names) for group, names in members.items()}
    return {group: found for group, found in columns.items() if found}


def label_notes(labels: npt.NDArray[np.uint8], classes: Sequence[str]) -> list[str]:
    """Images without a label and classes without an image, where there are any."""
    bare = int((~labels.any(axis=1)).sum())
    unseen = [classes[int(c)] for c in np.flatnonzero(~labels.any(axis=0))]
    notes = [f"{bare:,} images show none of the {len(classes)} classes and stay as negatives of all"] if bare else []
    return notes + ([f"no image shows {', '.join(unseen)}; the columns stay empty"] if unseen else [])


def size_notes(tasks: Sequence[Task]) -> list[str]:
    """Where a task is not of its official size."""
    notes = []
    for task in tasks:
        sizes = (len(task.classes), len(task.train), len(task.test))
        for size, official, what in zip(
            sizes, OFFICIAL[task.name], ("classes", "training images", "test images"), strict=True
        ):
            if size != official:
                notes.append(f"task {task.name}: {size:,} of {official:,} {what}")
    return notes
