"""The two splits of AGCN's kind: which classes, in which tasks, under which options; whole runs on made files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import every_class_twice, write_coco

from clbench import Scenario, run
from clbench.data import coco, nuswide
from clbench.data.collection import Collection, LabelTable
from clbench.data.images import ArrayImages
from clbench.errors import UsageError
from clbench.options import names
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.builder import load_builder
from clbench.scenario.sources import CocoOptions, FileOptions
from clbench.testing import check_scenario
from scenarios.split import CUTS, NAMES, Split

TINY = {"image_size": 16, "backbone": "small", "epochs": 1}
SIZES = {"split-coco": [4] * 10, "split-nuswide": [3] * 7}


def build(name: str, root: Path | None, **options: Any) -> Scenario:
    return build_scenario(resolve(name, "finetune", settings=options), root)


def test_each_name_has_a_builder_of_its_own() -> None:
    assert NAMES.keys() == CUTS.keys() == SIZES.keys()
    coco_, nuswide_ = load_builder("split-coco"), load_builder("split-nuswide")
    assert type(coco_) is type(nuswide_) is Split
    assert (coco_.name, coco_.dataset) == ("split-coco", "coco")
    assert (nuswide_.name, nuswide_.dataset) == ("split-nuswide", "nuswide")
    assert coco_.tasks() is nuswide_.tasks() is None  # the data tell which classes are the most frequent
    assert coco_.protocol()["tasks"].startswith("10 tasks of 4, the 40 classes")
    assert nuswide_.protocol()["tasks"].startswith("7 tasks of 3, the 21 classes")
    with pytest.raises(UsageError, match="Unknown scenario 'split-voc'; did you mean 'split-coco'"):
        Split(name="split-voc")


@pytest.mark.parametrize(("name", "of_dataset"), [("split-coco", CocoOptions), ("split-nuswide", FileOptions)])
def test_options_are_the_datasets_with_three_defaults_of_agcns(name: str, of_dataset: type[Any]) -> None:
    options, plain = load_builder(name).options, of_dataset()
    assert names(type(options)) == names(of_dataset)  # in this order they stand in every recorded configuration
    other = {each for each in names(of_dataset) if getattr(options, each) != getattr(plain, each)}
    assert {each: getattr(options, each) for each in other} == {
        "images": "disjoint",
        "threshold": 0.5,
        "image_size": 448,
    }


@pytest.mark.parametrize("name", SIZES)
def test_training_is_as_agcn_released_it(name: str) -> None:
    train = resolve(name, "finetune").options["train"]
    assert (train.epochs, train.batch_size, train.optimizer, train.lr) == (1, 8, "adam", 1e-4)
    assert (train.grad_clip, train.drop_last) == (0.0, False)


def collection(classes: Sequence[str], train: Mapping[str, int], test: Mapping[str, int]) -> Collection:
    """So many training and test images of each class, one class each."""
    rows = [name for part in (train, test) for name in classes for _ in range(part.get(name, 0))]
    labels = np.array([[name == each for each in classes] for name in rows], np.uint8)
    table = LabelTable(tuple(range(len(rows))), ("",) * len(rows), tuple(classes), labels)
    parts = np.split(np.arange(len(rows)), [sum(train.values())])
    return Collection(table, parts[0], parts[1], ArrayImages(np.zeros((len(rows), 3, 1, 1), np.uint8)))


def test_classes_are_those_with_the_most_training_images() -> None:
    rng = np.random.default_rng(0)
    counts = {name: int(n) for name, n in zip(nuswide.CLASSES, rng.permutation(81), strict=True)}
    tested = {name: 200 - 2 * n for name, n in counts.items()}  # the rarest in training are the most frequent here
    tasks = Split(name="split-nuswide").task_classes(collection(nuswide.CLASSES, counts, tested))
    assert [name for task in tasks for name in task] == sorted(name for name, _ in Counter(counts).most_common(21))
    assert [len(task) for task in tasks] == SIZES["split-nuswide"]


def test_where_counts_tie_the_class_that_stands_first_is_taken() -> None:
    counts = dict.fromkeys(coco.CLASSES, 1) | {"zebra": 2, "cup": 2}
    tasks = Split(name="split-coco").task_classes(collection(coco.CLASSES, counts, {}))
    others = [name for name in coco.CLASSES if name not in ("zebra", "cup")][:38]
    assert [name for task in tasks for name in task] == sorted([*others, "zebra", "cup"])


def test_the_order_of_the_classes_is_an_option() -> None:
    builder = load_builder("split-nuswide")
    assert isinstance(builder, Split)
    made = collection(nuswide.CLASSES, dict.fromkeys(nuswide.CLASSES[10:31], 1), {})
    given = nuswide.CLASSES[30:9:-1]
    tasks = builder.configured(builder.Options(order=",".join(given))).task_classes(made)
    assert tuple(name for task in tasks for name in task) == tuple(given)
    assert [name for task in builder.task_classes(made) for name in task] == sorted(given)
    drawn = builder.configured(builder.Options(order="seed")).of_seed(3)
    assert drawn.task_classes(made) == builder.configured(builder.Options(order="random:3")).task_classes(made)


def test_split_takes_the_most_frequent_classes(tmp_path: Path) -> None:
    frequent = coco.CLASSES[20:60]
    images = [[name] for name in (*coco.CLASSES, *frequent, *frequent, *coco.CLASSES[:20])]  # the last 60 are val
    write_coco(tmp_path, dict(enumerate(images, start=1)), release="2014", names=coco.CLASSES, pixels=False)
    for number in range(1, 181):
        part = "train2014" if number <= 120 else "val2014"
        (tmp_path / part / f"COCO_{part}_{number:012d}.jpg").touch()
    scenario = build("split-coco", tmp_path)
    assert set(scenario.classes) == set(frequent)
    assert list(scenario.classes) == sorted(scenario.classes)
    assert scenario.images.size == 448


@pytest.mark.parametrize("images", ["overlapping", "disjoint"])
@pytest.mark.parametrize("name", SIZES)
def test_the_contract(name: str, images: str, roots: dict[str, Path | None]) -> None:
    scenario = build(name, roots[load_builder(name).dataset], images=images, image_size=16)
    check_scenario(scenario)
    assert scenario.name == name and [len(task.classes) for task in scenario] == SIZES[name]
    every = np.concatenate([task.train for task in scenario])
    assert (len(np.unique(every)) == len(every)) == (images == "disjoint")


def test_an_image_enters_one_task_unless_told_otherwise(roots: dict[str, Path | None]) -> None:
    scenario = build("split-coco", roots["coco"], image_size=16)
    shown = every_class_twice(coco.CLASSES, 480, 0)  # what was written; ids begin at 1
    used = [int(scenario.ids[row]) for task in scenario for row in task.train]
    assert sorted(used) == [i for i, names in enumerate(shown[:320], start=1) if set(names) & set(scenario.classes)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["finetune", "dlfl"])
@pytest.mark.parametrize("name", SIZES)
def test_whole_runs(name: str, strategy: str, roots: dict[str, Path | None], tmp_path: Path) -> None:
    [done] = run(
        name, strategy, settings=TINY, view="limited:4", data_root=roots[load_builder(name).dataset], out=tmp_path
    )
    assert done.state == "done" and done.scenario == name
    assert 0 < done.metrics["final"]["mAP"] <= 1
    logits = np.load(done.folder / "logits" / "task0.npy")
    seen = SIZES[name][0]
    assert np.isfinite(logits[:, :seen]).all() and np.isnan(logits[:, seen:]).all()  # the head has not grown yet


def test_no_data_root() -> None:
    for name in SIZES:
        with pytest.raises(UsageError, match="Expected --data-root DIR"):
            build(name, None)
