"""Against the official lists and a folder of real COCO photographs; skipped where they are absent."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import write_lists

from clbench import run
from clbench.data.coco import find_layout, read_instances, read_json
from clbench.data.collection import LabelTable
from clbench.errors import DataError
from clbench.scenario import listed
from clbench.testing import check_scenario
from scenarios.coco_seq import BENCHMARK, EXCLUDED, VOCABULARY, CocoSeq, Options

Lists = dict[str, Any]


@pytest.fixture(scope="module")
def lists(test_data: Path) -> Lists:
    return dict(BENCHMARK.read_lists(test_data / "prs"))


def test_sizes_and_order(lists: Lists) -> None:
    sizes = {task: (len(ids.train), len(ids.test)) for task, ids in lists.items()}
    assert list(sizes) == ["0", "3", "1", "2"]
    assert sizes == {"0": (8365, 1960), "1": (7814, 1690), "2": (11603, 1400), "3": (7290, 1316)}
    assert {task: size[1:] for task, size in BENCHMARK.sizes.items()} == sizes


def test_every_image_stands_once(lists: Lists) -> None:
    every = [image for ids in lists.values() for part in ids for image in part]
    assert len(every) == len(set(every)) == 35072 + 6366


def test_every_way_to_name_the_folder(test_data: Path, lists: Lists) -> None:
    for folder in ("dataset/data_source", "dataset/data_source/COCOseq"):
        assert BENCHMARK.read_lists(test_data / "prs" / folder) == lists


def test_names_are_those_of_the_official_files(test_data: Path) -> None:
    columns = read_json(test_data / "prs/dataset/data_source/COCOseq/multihot_map.json")
    assert tuple(sorted(columns, key=columns.__getitem__)) == VOCABULARY
    for group, names in {
        "major": BENCHMARK.majority,
        "moderate": BENCHMARK.moderate,
        "minor": BENCHMARK.minority,
    }.items():
        assert sorted(read_json(test_data / f"prs/code/resources/{group}_cats.json")) == sorted(names)


@pytest.mark.slow
def test_all_of_coco_gives_the_official_scenario(
    tmp_path: Path, test_data: Path, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made annotations of every listed image: one label each, in turn, of as many classes as the task has."""
    monkeypatch.setattr(listed, "missing_files", lambda root, paths: set())  # 41,438 files take long to make
    names = [*VOCABULARY, *EXCLUDED]
    images, annotations, start = [], [], 0
    for task, (classes, _, _) in BENCHMARK.sizes.items():
        assert classes is not None
        for place, image in enumerate(image for part in lists[task] for image in part):
            images.append({"id": image, "file_name": f"{image:012d}.jpg"})
            annotations += [{"image_id": image, "category_id": c} for c in (start + place % classes, 70 + place % 10)]
        start += classes
    (tmp_path / "annotations").mkdir()
    for part, rows in (("train2014", slice(0, None, 2)), ("val2014", slice(1, None, 2))):
        content = {
            "images": images[rows],
            "annotations": [
                a for two in list(zip(annotations[::2], annotations[1::2], strict=True))[rows] for a in two
            ],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        }
        (tmp_path / f"annotations/instances_{part}.json").write_text(json.dumps(content))
    scenario = CocoSeq(Options(splits=str(test_data / "prs")), tmp_path).build()
    assert scenario.notes == ()
    assert scenario.images.size == 256
    assert [task.name for task in scenario] == ["0", "3", "1", "2"]
    assert [len(task.classes) for task in scenario] == [24, 14, 18, 14]
    for built in scenario:
        assert [scenario.ids[i] for i in built.train] == lists[built.name].train
        assert [scenario.ids[i] for i in built.test] == lists[built.name].test
        assert (built.labels.sum(axis=1) == 1).all()
    # in tens, the last few images of each task left out: PRS's 3,506 steps
    assert sum(len(built.train) // 10 for built in scenario) == 836 + 729 + 781 + 1160


@pytest.fixture(scope="module")
def photographs(test_data: Path) -> Path:
    return test_data / "coco-mini"


@pytest.fixture(scope="module")
def table(photographs: Path) -> LabelTable:
    return read_instances(find_layout(photographs).parts)


def test_real_annotations(photographs: Path, table: LabelTable) -> None:
    raw = json.loads((photographs / "annotations/instances_train2017.json").read_text())
    assert (len(raw["images"]), len(raw["annotations"])) == (128, 929)
    assert len(table.ids) == 128 and table.labels.shape == (128, 80)
    assert int(table.labels.any(axis=0).sum()) == 71
    assert int((~table.labels.any(axis=1)).sum()) == 2
    names = {category["id"]: category["name"] for category in raw["categories"]}
    shown = {(box["image_id"], names[box["category_id"]]) for box in raw["annotations"]}
    found = {(table.ids[row], table.classes[column]) for row, column in np.argwhere(table.labels)}
    assert found == shown
    assert all((photographs / path).is_file() for path in table.paths)


@pytest.mark.slow
def test_the_official_lists_on_real_photographs(test_data: Path, photographs: Path) -> None:
    splits = str(test_data / "prs")
    with pytest.raises(
        DataError, match=r"41,395 of 41,438 are missing, .*\(annotations/instances_val2017.json is not there\)"
    ):
        CocoSeq(Options(splits=splits), photographs).build()
    scenario = CocoSeq(Options(splits=splits, allow_missing=True, image_size=32), photographs).build()
    check_scenario(scenario)  # so the real labels keep the four tasks apart
    assert [(len(task.train), len(task.test)) for task in scenario] == [(2, 5), (4, 9), (1, 6), (4, 12)]
    assert "annotations/instances_val2017.json is not there" in scenario.notes
    assert "41,395 of 41,438 listed images are not in the annotations: left out" in scenario.notes
    assert "task 4 (named 2): 4 of 11,603 training images" in scenario.notes
    train = next(task for task in scenario if task.name == "2")
    assert {scenario.classes[c] for c in train.classes} <= set(
        "skis airplane skateboard giraffe snowboard frisbee boat dog tie sheep banana cat pizza".split()
    ) | {"tennis racket"}


def test_a_made_list_over_real_photographs(tmp_path: Path, photographs: Path, table: LabelTable) -> None:
    """Lists of our own: the images that show exactly one of four classes, halves for training and test."""
    chosen = {"0": "elephant", "3": "giraffe", "1": "frisbee", "2": "motorcycle"}
    columns = [table.classes.index(name) for name in VOCABULARY]
    alone = table.labels[:, columns].sum(axis=1) == 1
    ids = {
        task: [table.ids[row] for row in np.flatnonzero(alone & (table.labels[:, table.classes.index(name)] == 1))]
        for task, name in chosen.items()
    }
    assert all(len(images) >= 2 for images in ids.values())
    splits = write_lists(tmp_path / "lists", {task: (images[::2], images[1::2]) for task, images in ids.items()})
    scenario = CocoSeq(Options(splits=str(splits), image_size=32), photographs).build()
    check_scenario(scenario)
    assert {task.name: [VOCABULARY[c] for c in task.classes] for task in scenario} == {
        t: [n] for t, n in chosen.items()
    }


def test_the_rule_on_real_photographs(photographs: Path) -> None:
    scenario = CocoSeq(Options(splits="rule", image_size=32), photographs).build()
    check_scenario(scenario)
    assert scenario.name == "coco-seq-rule"
    assert sum(len(task.train) + len(task.test) for task in scenario) == 59


def test_a_whole_run_on_real_photographs(tmp_path: Path, test_data: Path, photographs: Path) -> None:
    quick = {"splits": str(test_data / "prs"), "allow_missing": True, "image_size": 32, "backbone": "small"}
    [done] = run("coco-seq", "er", settings=quick, data_root=photographs, out=tmp_path)
    assert done.state == "done"
    assert "41,395 of 41,438 listed images are not in the annotations: left out" in done.env["manifest"]["notes"]


def test_a_deleted_photograph_is_counted(tmp_path: Path, photographs: Path) -> None:
    copy = tmp_path / "coco"
    shutil.copytree(photographs, copy, copy_function=shutil.copyfile)
    scenario = CocoSeq(Options(splits="rule", image_size=32), copy).build()
    for row in (scenario[0].train[0], scenario[3].train[0]):
        (copy / f"train2017/{scenario.ids[row]:012d}.jpg").unlink()
    with pytest.raises(DataError, match="2 of 59 are missing, e.g. train2017/0"):
        CocoSeq(Options(splits="rule"), copy).build()
    fewer = CocoSeq(Options(splits="rule", image_size=32, allow_missing=True), copy).build()
    assert "2 of 59 listed images are not there as a file: left out" in fewer.notes
    assert fewer[0].test.size == scenario[0].test.size and fewer[0].train.size == scenario[0].train.size - 1
