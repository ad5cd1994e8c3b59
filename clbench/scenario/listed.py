"""The two benchmarks of PRS by their official id lists: COCOseq and NUS-WIDEseq.

Kim, Jeong, Kim, "Imbalanced Continual Learning with Partitioning Reservoir Sampling", ECCV 2020, arXiv 2009.03632. The
lists come with the user's clone of cdjkim/PRS. An image shows classes of one task only, so no label is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clbench.arrays import LabelArray
from clbench.data.coco import read_json
from clbench.data.collection import LabelTable, missing_files
from clbench.errors import DataError
from clbench.options import option
from clbench.scenario.paper import Paper
from clbench.scenario.protocols import class_tasks
from clbench.scenario.tasks import GROUPS, Scenario, Task, called

Id = int | str

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "train": {"lr": 1e-4, "batch_size": 10, "epochs": 1, "grad_clip": 5.0, "drop_last": True},
    "model": {"backbone": "resnet101"},
    "memory": {"size": 2000},
}
"""How PRS was trained on both, as released, but for what needs a network."""


def paper(rho: float, **scenario: Any) -> Paper:
    """Of PRS. rho: its exponent on this benchmark. scenario: options of one benchmark alone."""
    return Paper(
        "Kim et al. (PRS, ECCV 2020, as released)",
        {
            "scenario": {"image_size": 256, **scenario},
            "model": {"backbone": "resnet101", "weights": "imagenet", "freeze": "none"},
            "train": {
                "epochs": 1,
                "batch_size": 10,
                "drop_last": True,
                "optimizer": "adam",
                "lr": 1e-4,
                "weight_decay": 0.0,
                "grad_clip": 5.0,
                "loss": "bce",
                "reduction": "mean",
            },
            "memory": {"size": "2000", "replay_batch": (10, 0)},  # 0: as many as are new
            "memory.prs": {"rho": rho, "official_bound": True},
            "memory.reservoir": {"off_by_one": True},
        },
    )


@dataclass(frozen=True)
class ListedOptions:
    """Which lists, and what becomes of their images."""

    splits: str = option(
        "",
        "DIR, a folder of the official id lists from a clone of cdjkim/PRS (dataset/data_source); required",
        path=True,
    )
    image_size: int = option(256, "height and width of the images in pixels; PRS: 256", at_least=1)
    allow_missing: bool = option(False, "leave out listed images that are not there, counted, instead of failing")


class Lists(NamedTuple):
    """Image ids of one task."""

    train: list[Id]
    test: list[Id]


@dataclass(frozen=True)
class Benchmark:
    """What PRS's lists say of one benchmark.

    name: of its folder in `dataset/data_source`. suffix: of the lists' file names. sizes: number in these names ->
    classes (None where not known), training and test images, in the order of training. majority, moderate, minority:
    the frequency groups. numbered: an image is known by its part and line (`train/12`), not by an id of its own.
    """

    name: str
    suffix: str
    sizes: Mapping[str, tuple[int | None, int, int]]
    majority: Sequence[str]
    moderate: Sequence[str]
    minority: Sequence[str]
    numbered: bool = False
    vocabulary: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(sorted([*self.majority, *self.moderate, *self.minority])))

    def folder(self, clone: Path) -> Path:
        """Where the lists are below a clone. Raises DataError where they are not."""
        places = [clone / below for below in (f"dataset/data_source/{self.name}", self.name, ".")]
        base = next((place for place in places if (place / "ids").is_dir()), None)
        if base is None:
            raise DataError(
                f"Expected the official id lists in {clone} (ids/, {self.name}/ids/ or "
                f"dataset/data_source/{self.name}/ids/) but found none of these folders; clone cdjkim/PRS from GitHub "
                "and give its dataset/data_source."
            )
        return base

    def read_lists(self, folder: Path) -> dict[str, Lists]:
        """The lists below PRS's clone, its `data_source` or the benchmark's own folder, in the order of training.

        Raises:
            DataError: a list that is missing, damaged or not of ids, an id that stands there twice, or columns
                (`multihot_map.json`, where it is there) other than ours.
        """
        base = self.folder(folder)
        columns = base / "multihot_map.json"
        if columns.exists() and read_json(columns) != {name: number for number, name in enumerate(self.vocabulary)}:
            raise DataError(
                f"Expected {columns} to number the {len(self.vocabulary)} classes alphabetically but it does not; "
                "restore it."
            )
        home: dict[Id, str] = {}
        return {task: Lists(*(self._read(base, part, task, home) for part in ("train", "test"))) for task in self.sizes}

    def _read(self, base: Path, part: str, task: str, home: dict[Id, str]) -> list[Id]:
        file = base / "ids" / f"{part}_task{task}_id_{self.suffix}.json"
        ids = read_json(file)
        if not isinstance(ids, list):
            raise DataError(f"Expected {file} to be a JSON list of image ids but got {type(ids).__name__}; restore it.")
        named: list[Id] = []
        for place, image in enumerate(ids):
            if type(image) is not int:
                raise DataError(
                    f"Expected an image id, an integer, at [{place}] in {file} but got {image!r}; restore it."
                )
            name = f"{part}/{image}" if self.numbered else image
            if name in home:
                raise DataError(
                    f"Expected each image once in one list but {image} is in {home[name]} and again at [{place}] in "
                    f"{file}; restore the lists."
                )
            home[name] = file.name
            named.append(name)
        return named

    def groups(self, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Group -> columns, by the official lists; a group without any column is left out."""
        members = dict(zip(GROUPS, (self.majority, self.moderate, self.minority), strict=True))
        columns = {g: tuple(c for c, name in enumerate(classes) if name in names) for g, names in members.items()}
        return {group: found for group, found in columns.items() if found}

    def size_notes(self, tasks: Sequence[Task]) -> list[str]:
        """Where a task is not of its official size."""
        notes = []
        for number, task in enumerate(tasks):
            sizes = (len(task.classes), len(task.train), len(task.test))
            for size, official, what in zip(
                sizes, self.sizes[task.name], ("classes", "training images", "test images"), strict=True
            ):
                if official is not None and size != official:
                    notes.append(f"{called(number, task.name)}: {size:,} of {official:,} {what}")
        return notes


class Available(NamedTuple):
    """Lists without the images that cannot be had; the paths (or ids) of those; what to say of them."""

    lists: dict[str, Lists]
    absent: tuple[str, ...]
    notes: list[str]


def available(
    lists: Mapping[str, Lists], table: LabelTable, root: Path, *, allow_missing: bool, hint: str = ""
) -> Available:
    """The lists without the images that stand in no annotation or are not there as files.

    hint: what may explain them, for the error. Raises DataError where some are missing unless `allow_missing`.
    """
    path = dict(zip(table.ids, table.paths, strict=True))
    listed = [image for task in lists.values() for part in task for image in part]
    unread = [image for image in listed if image not in path]
    gone = missing_files(root, [path[image] for image in listed if image in path])
    without = [image for image in listed if path.get(image) in gone]
    notes = []
    for images, where in ((unread, "in the annotations"), (without, "there as a file")):
        if images and not allow_missing:
            few = ", ".join(path.get(image, str(image)) for image in images[:3])
            raise DataError(
                f"Expected every listed image to be {where} below {root} but {len(images):,} of {len(listed):,} are "
                f"missing, e.g. {few}{hint}; complete the data there, or leave them out with --allow-missing."
            )
        if images:
            notes.append(f"{len(images):,} of {len(listed):,} listed images are not {where}: left out")
    dropped = {*unread, *without}
    kept = {
        name: Lists(*([image for image in part if image not in dropped] for part in task))
        for name, task in lists.items()
    }
    return Available(kept, tuple(path.get(image, str(image)) for image in (*unread, *without)), notes)


def assemble(
    name: str,
    lists: Mapping[str, Lists],
    table: LabelTable,
    root: Path,
    image_size: int,
    *,
    groups: Mapping[str, tuple[int, ...]],
    protocol: Mapping[str, str],
    absent: tuple[str, ...],
    notes: Sequence[str],
) -> Scenario:
    """The scenario whose tasks are the listed images.

    Images stand in the order of the lists, so the table's own order makes no difference. Which class is in which task
    follows from ids and labels.

    Raises:
        DataError: a task without training or test images, or a class in several tasks.
    """
    from clbench.data.cache import open_images  # torch: late, so that listing stays quick

    for number, (task_name, task) in enumerate(lists.items()):
        if not task.train or not task.test:
            raise DataError(
                f"Expected training and test images in {called(number, task_name)} but got {len(task.train)} "
                f"and {len(task.test)}; complete the data below {root}."
            )
    row = {image: number for number, image in enumerate(table.ids)}
    parts = [part for task in lists.values() for part in task]
    rows = np.array([row[image] for part in parts for image in part], np.int64)
    labels, classes = table.labels[rows], table.classes
    ends = np.cumsum([0, *map(len, parts)])
    spans = [np.arange(start, end) for start, end in pairwise(ends)]
    whole = {each: np.concatenate(spans[2 * t : 2 * t + 2]) for t, each in enumerate(lists)}
    introduced = class_tasks(labels, whole, classes)
    tasks = []
    for each, train, test in zip(lists, spans[::2], spans[1::2], strict=True):
        known = np.ones((len(train), len(classes)), np.bool_)
        tasks.append(Task(each, introduced[each], train, labels[train], known, test))
    return Scenario(
        name=name,
        ids=tuple(table.ids[r] for r in rows),
        classes=classes,
        labels=labels,
        images=open_images(root, [table.paths[r] for r in rows], image_size),
        tasks=tuple(tasks),
        groups=groups,
        protocol=protocol,
        absent=absent,
        notes=(*notes, *_label_notes(labels, classes)),
    )


def _label_notes(labels: LabelArray, classes: Sequence[str]) -> list[str]:
    """Images without a label and classes without an image, where there are any."""
    bare = int((~labels.any(axis=1)).sum())
    unseen = [classes[int(c)] for c in np.flatnonzero(~labels.any(axis=0))]
    notes = [f"{bare:,} images show none of the {len(classes)} classes and stay as negatives of all"] if bare else []
    return notes + ([f"no image shows {', '.join(unseen)}; the columns stay empty"] if unseen else [])
