"""COCOseq: 70 COCO classes in 4 tasks, long-tailed, by PRS's official id lists or by a rule of the same kind.

`--set splits=DIR` takes the image ids from a clone of cdjkim/PRS: tasks 0, 3, 1, 2 in this order, 35,072 training
images, the 6,366 images of the balanced test lists, and majority, moderate and minority classes by the official lists.
Which class is in which task follows from ids and annotations. An image shows classes of one task only, so no label is
missing; classes outside the 70 are dropped from the target.

`--set splits=rule` builds `coco-seq-rule` without any list: the images that show classes of one task only, over a given
class-to-task map, with a held-out balanced test set. Its numbers are not comparable with COCOseq's.

Source: Kim, Jeong, Kim, "Imbalanced Continual Learning with Partitioning Reservoir Sampling" (PRS), ECCV 2020, arXiv
2009.03632 (released lists and code read).

Matched: order and sizes of the official lists, image by image
(tests/scenarios/test_official_lists.py::test_sizes_and_order,
tests/scenarios/test_official_lists.py::test_every_image_stands_once). Columns and groups are those of the official
files (tests/scenarios/test_official_lists.py::test_names_are_those_of_the_official_files). Over annotations made for
every listed image it is the official scenario, with PRS's 3,506 steps
(tests/scenarios/test_official_lists.py::test_all_of_coco_gives_the_official_scenario). A crowd region counts as its
class, as in PRS's dataset maker (tests/scenarios/test_coco_seq.py::test_a_crowd_region_counts_unless_excluded).

Differs: COCO's own files (release 2014 or 2017) are decoded and resized while training, not before. Weights are random
unless `--weights imagenet` is given, where PRS begins from ImageNet's; every table says so.

Never run: on COCO in full. Of the 41,438 listed images 43 were at hand; a run over these, at 32 px with the small
network, is all the training there has been
(tests/scenarios/test_official_lists.py::test_a_whole_run_on_real_photographs).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clbench.data.coco import CLASSES, CROWD, data_parts, find_layout, read_json, read_layout
from clbench.data.collection import DataPart, LabelTable, in_columns
from clbench.errors import DataError, unknown
from clbench.options import option
from clbench.randomness import generator
from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.listed import DEFAULTS, Benchmark, ListedOptions, Lists, assemble, available, paper
from clbench.scenario.paper import Paper
from clbench.scenario.protocols import EXCLUSIVE, balanced_test, exclusive
from clbench.scenario.tasks import Scenario

RULE = "rule"

BENCHMARK = Benchmark(
    name="COCOseq",
    suffix="coco",
    sizes={"0": (24, 8365, 1960), "3": (14, 7290, 1316), "1": (18, 7814, 1690), "2": (14, 11603, 1400)},
    majority=(
        "train, horse, bird, car, truck, motorcycle, traffic light, skis, airplane, skateboard, giraffe, surfboard, "
        "clock, elephant, zebra, snowboard, frisbee, boat"
    ).split(", "),
    moderate=(
        "donut, baseball bat, teddy bear, bear, bowl, sandwich, apple, sink, orange, kite, umbrella, sports ball, "
        "toilet, baseball glove, fire hydrant, tv, chair, dog, tennis racket, tie, sheep, banana, cat, pizza, "
        "broccoli, bus, bed, suitcase, stop sign, dining table, vase, bench, remote, cow, refrigerator, backpack, "
        "bottle, scissors"
    ).split(", "),
    minority=(
        "bicycle, potted plant, book, spoon, fork, couch, parking meter, laptop, cake, oven, toothbrush, hot dog, "
        "handbag, carrot"
    ).split(", "),
)
"""70 of COCO's 80 categories."""
VOCABULARY = BENCHMARK.vocabulary
"""The 70 classes in the order of the head's columns, as in PRS's `multihot_map.json`."""
EXCLUDED = tuple(name for name in CLASSES if name not in VOCABULARY)
"""The 10 categories that COCOseq leaves out."""


@dataclass(frozen=True)
class Options(ListedOptions):
    splits: str = option(
        "",
        "DIR, a folder of the official id lists from a clone of cdjkim/PRS (dataset/data_source), or rule; required",
        path=True,
    )
    crowd: str = option("include", "whether a crowd region counts as its class; PRS: include", choices=CROWD)
    class_tasks: str = option(
        "", "rule only: JSON file {class: task number}; else the 70 classes, alphabetical, in 18/18/17/17", path=True
    )
    test_per_class: int = option(50, "rule only: test images of each class, at most half of those it has", at_least=1)


class CocoSeq(ScenarioBuilder):
    """Four tasks over 70 classes; see the module's docstring."""

    Options = Options
    dataset = "coco"
    holds = "COCO's annotations and images"
    defaults = DEFAULTS

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
            "class order": f"rule: {own}" if self.by_rule else f"official: {', '.join(BENCHMARK.sizes)}",
            "head": "all classes from the start",
            "test images": held_out if self.by_rule else "the official balanced lists",
            "crowd regions": "count as their class" if options.crowd == "include" else "do not count",
            "image size": f"{options.image_size} px, bicubic, no augmentation",
        }

    def paper(self) -> Paper | None:
        return None if self.by_rule else paper(rho=-0.03, crowd="include")

    def data_parts(self) -> tuple[DataPart, ...]:
        return data_parts(self.data_root)

    def wanting(self) -> tuple[str, ...]:
        lists = "splits=DIR, a folder of the official id lists from a clone of cdjkim/PRS (its dataset/data_source)"
        return super().wanting() + (() if self.options.splits else (f"--set {lists} or splits=rule",))

    def check(self) -> None:
        super().check()
        if not self.by_rule:
            BENCHMARK.folder(Path(self.options.splits))

    def build(self) -> Scenario:
        self.check()
        # What is quick to check comes before the annotations: all of COCO takes seconds to read.
        tasks = read_class_tasks(self.options.class_tasks) if self.by_rule else {}
        lists = {} if self.by_rule else BENCHMARK.read_lists(Path(self.options.splits))
        assert self.data_root is not None
        layout = find_layout(self.data_root)
        table = read_layout(self.data_root, layout, self.options.crowd)
        notes = [f"{file} is not there" for file in layout.absent]
        classes = tuple(sorted(name for names in tasks.values() for name in names)) or VOCABULARY
        absent = [name for name in classes if name not in table.classes]
        notes += [f"the annotations have no category {', '.join(absent)}"] if absent else []
        table = in_columns(table, classes)
        if self.by_rule:
            lists = split_by_rule(table, tasks, self.options.test_per_class)
            notes.append(rule_note(table, lists))
        parts = f" ({', '.join(layout.absent)} is not there)" if layout.absent else ""
        usable = available(lists, table, self.data_root, allow_missing=self.options.allow_missing, hint=parts)
        scenario = assemble(
            self.name,
            usable.lists,
            table,
            self.data_root,
            self.options.image_size,
            groups=BENCHMARK.groups(classes),
            protocol=self.protocol(),
            absent=usable.absent,
            notes=[*notes, *usable.notes],
        )
        sizes = () if self.by_rule else BENCHMARK.size_notes(scenario.tasks)
        return replace(scenario, notes=(*scenario.notes, *sizes))


def read_class_tasks(file: str) -> dict[str, tuple[str, ...]]:
    """Task -> its classes, of a JSON file {class: task number}; without a file the rule's own map. Raises DataError."""
    if not file:
        return {
            str(task): tuple(map(str, names))
            for task, names in enumerate(np.array_split(VOCABULARY, len(BENCHMARK.sizes)))
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
