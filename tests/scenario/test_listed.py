"""A made benchmark of two tasks by lists of PRS's kind: reading lists, leaving out images, putting tasks together."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from makers import photograph, write_lists

from clbench import Scenario
from clbench.data.collection import LabelTable
from clbench.errors import DataError
from clbench.scenario.listed import Benchmark, ListedOptions, Lists, assemble, available
from clbench.scenario.protocols import EXCLUSIVE
from clbench.testing import check_scenario

MADE = Benchmark(
    name="MADEseq",
    suffix="made",
    sizes={"2": (2, 3, 1), "0": (None, 1000, 2)},
    majority=["dog"],
    moderate=["cat", "bee"],
    minority=["owl", "ant"],
)
LISTS: dict[str, tuple[list[int | str], list[int | str]]] = {"2": ([31, 7, 12], [5]), "0": ([9], [8, 40])}
CLASSES = ("ant", "bee", "cat", "dog", "owl")
SHOWN = {5: ["dog"], 7: ["cat", "dog"], 8: ["owl"], 9: ["ant"], 12: ["dog"], 31: ["cat"], 40: ["ant", "owl"]}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The benchmark's folder with both parts of both tasks."""
    return write_lists(tmp_path / "MADEseq", LISTS, suffix="made", columns=MADE.vocabulary)


@pytest.fixture
def table() -> LabelTable:
    """Ids ascending, as readers give them; two images stand in no list."""
    shown = {1: ["cat"], **SHOWN, 99: []}
    labels = np.array([[int(each in names) for each in CLASSES] for names in shown.values()], np.uint8)
    return LabelTable(tuple(shown), tuple(f"all/{image}.jpg" for image in shown), CLASSES, labels)


@pytest.fixture
def root(tmp_path: Path, table: LabelTable) -> Path:
    for image, path in zip(table.ids, table.paths, strict=True):
        photograph(tmp_path / "data" / path, int(image))
    return tmp_path / "data"


def test_classes_are_numbered_alphabetically() -> None:
    assert MADE.vocabulary == CLASSES


def test_lists_are_read_in_the_order_of_training(clone: Path) -> None:
    assert list(MADE.read_lists(clone).items()) == [
        ("2", Lists([31, 7, 12], [5])),
        ("0", Lists([9], [8, 40])),
    ]


@pytest.mark.parametrize("below", ["MADEseq", "dataset/data_source/MADEseq"])
def test_lists_are_found_in_a_clone(tmp_path: Path, clone: Path, below: str) -> None:
    shutil.copytree(clone, tmp_path / "clone" / below)
    assert MADE.read_lists(tmp_path / "clone") == MADE.read_lists(clone)
    with pytest.raises(DataError, match=r"Expected the official id lists in .*none of these folders; clone cdjkim/PRS"):
        replace(MADE, name="OTHERseq").read_lists(tmp_path / "clone")


def test_lists_without_their_column_map_will_do(clone: Path) -> None:
    before = MADE.read_lists(clone)
    (clone / "multihot_map.json").unlink()
    assert MADE.read_lists(clone) == before


def test_numbered_images_are_known_by_part_and_line(tmp_path: Path) -> None:
    lists = {"2": ([1, 0], [0]), "0": ([2], [1])}
    folder = write_lists(tmp_path / "lists", lists, suffix="made", columns=CLASSES)
    read = replace(MADE, numbered=True).read_lists(folder)
    assert read == {"2": Lists(["train/1", "train/0"], ["test/0"]), "0": Lists(["train/2"], ["test/1"])}
    with pytest.raises(DataError, match=r"but 0 is in train_task2_id_made\.json and again at \[0\] in .*test_task2"):
        MADE.read_lists(folder)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("ids/test_task0_id_made.json", None, "Expected the file .*test_task0_id_made.json but it is not there"),
        ("ids/train_task2_id_made.json", "[1, 2", "train_task2_id_made.json to be JSON but line 1, column 6"),
        ("ids/train_task2_id_made.json", '{"9": 1}', "to be a JSON list of image ids but got dict"),
        (
            "ids/train_task2_id_made.json",
            '[31, "7"]',
            r"an integer, at \[1\] in .*train_task2_id_made.json but got '7'",
        ),
        ("ids/train_task2_id_made.json", "[31, true]", r"an integer, at \[1\] in .* but got True"),
        (
            "ids/train_task2_id_made.json",
            "[31, 7, 31]",
            r"31 is in train_task2_id_made.json and again at \[2\] in .*train_",
        ),
        (
            "ids/test_task0_id_made.json",
            "[31]",
            r"31 is in train_task2_id_made.json and again at \[0\] in .*test_task0",
        ),
        ("multihot_map.json", '{"ant": 0}', "multihot_map.json to number the 5 classes alphabetically"),
        ("multihot_map.json", "[", "multihot_map.json to be JSON"),
    ],
)
def test_damaged_lists(clone: Path, file: str, content: str | None, sentence: str) -> None:
    (clone / file).unlink()
    if content is not None:
        (clone / file).write_text(content)
    with pytest.raises(DataError, match=sentence):
        MADE.read_lists(clone)


def test_a_map_in_another_order_is_refused(clone: Path) -> None:
    numbers = dict(zip(CLASSES, (1, 0, 2, 3, 4), strict=True))
    (clone / "multihot_map.json").write_text(json.dumps(numbers))
    with pytest.raises(DataError, match="multihot_map.json to number the 5 classes alphabetically but it does not"):
        MADE.read_lists(clone)


def test_groups_are_the_columns_that_are_there() -> None:
    assert MADE.groups(CLASSES) == {"majority": (3,), "moderate": (1, 2), "minority": (0, 4)}
    assert MADE.groups(("owl", "fox", "cat")) == {"moderate": (2,), "minority": (0,)}  # no group without a column


def test_images_that_cannot_be_had(root: Path, table: LabelTable) -> None:
    lists = {"2": Lists([31, 7, 500, 12], [5]), "0": Lists([9], [8, 40])}
    whole = {name: Lists(*task) for name, task in LISTS.items()}
    (root / "all/7.jpg").unlink()
    (root / "all/40.jpg").unlink()
    for listed, sentence in (
        (lists, r"to be in the annotations below .* but 1 of 8 are missing, e\.g\. 500 \(why\); complete"),
        (whole, r"there as a file below .* but 2 of 7 are missing, e\.g\. all/7\.jpg, all/40\.jpg \(why\); complete"),
    ):
        with pytest.raises(DataError, match=sentence):
            available(listed, table, root, allow_missing=False, hint=" (why)")
    found = available(lists, table, root, allow_missing=True)
    assert found.lists == {"2": Lists([31, 12], [5]), "0": Lists([9], [8])}
    assert found.absent == ("500", "all/7.jpg", "all/40.jpg")
    assert found.notes == [
        "1 of 8 listed images are not in the annotations: left out",
        "2 of 8 listed images are not there as a file: left out",
    ]


def test_nothing_is_said_where_all_are_there(root: Path, table: LabelTable) -> None:
    lists = {name: Lists(*task) for name, task in LISTS.items()}
    assert available(lists, table, root, allow_missing=False) == (lists, (), [])


def put_together(
    lists: Mapping[str, tuple[Sequence[int | str], Sequence[int | str]]], table: LabelTable, root: Path
) -> Scenario:
    return assemble(
        "made-seq",
        {name: Lists([*train], [*test]) for name, (train, test) in lists.items()},
        table,
        root,
        8,
        groups=MADE.groups(CLASSES),
        protocol={**EXCLUSIVE, "class order": "official"},
        absent=("gone.jpg",),
        notes=["made"],
    )


def test_tasks_by_hand(root: Path, table: LabelTable) -> None:
    scenario = put_together(LISTS, table, root)
    check_scenario(scenario)
    assert (scenario.name, scenario.absent, scenario.classes) == ("made-seq", ("gone.jpg",), CLASSES)
    assert scenario.ids == (31, 7, 12, 5, 9, 8, 40)  # in the order of the lists
    assert [[CLASSES[c] for c in np.flatnonzero(row)] for row in scenario.labels] == [
        SHOWN[int(i)] for i in scenario.ids
    ]
    assert [(task.name, task.classes) for task in scenario] == [("2", (2, 3)), ("0", (0, 4))]
    assert [(task.train.tolist(), task.test.tolist()) for task in scenario] == [([0, 1, 2], [3]), ([4], [5, 6])]
    assert all(task.known.all() for task in scenario) and not scenario.growing
    assert list(scenario.images.paths) == [f"all/{image}.jpg" for image in scenario.ids] and scenario.images.size == 8
    assert scenario.notes == ("made", "no image shows bee; the columns stay empty")
    assert scenario.groups == {"majority": (3,), "moderate": (1, 2), "minority": (0, 4)}


def test_the_tables_order_makes_no_difference(root: Path, table: LabelTable) -> None:
    back = LabelTable(table.ids[::-1], table.paths[::-1], table.classes, table.labels[::-1].copy())
    one, other = put_together(LISTS, table, root), put_together(LISTS, back, root)
    assert one.manifest() == other.manifest()
    rows = np.arange(len(one.ids))
    assert one.images.read(rows).equal(other.images.read(rows))


def test_images_without_a_label_stay_and_are_counted(root: Path, table: LabelTable) -> None:
    scenario = put_together({"2": ([31, 99], [5]), "0": LISTS["0"]}, table, root)
    assert scenario.notes[1] == "1 images show none of the 5 classes and stay as negatives of all"
    assert not scenario[0].labels[1].any() and scenario[0].known[1].all()


def test_a_class_in_two_tasks_is_an_error(root: Path, table: LabelTable) -> None:
    with pytest.raises(DataError, match=r"several tasks: 'cat' in task 1 \(named 2\), task 2 \(named 0\);"):
        put_together({"2": LISTS["2"], "0": ([9], [8, 1])}, table, root)  # a test image counts as well


@pytest.mark.parametrize(("train", "test"), [([], [8]), ([9], [])])
def test_a_task_without_images_is_an_error(root: Path, table: LabelTable, train: list[int], test: list[int]) -> None:
    with pytest.raises(DataError, match=rf"in task 2 \(named 0\) but got {len(train)} and {len(test)}; complete the"):
        put_together({"2": LISTS["2"], "0": (train, test)}, table, root)


def test_other_sizes_than_the_official_are_noted(root: Path, table: LabelTable) -> None:
    tasks = put_together({"2": LISTS["2"], "0": ([9], [8])}, table, root).tasks
    assert MADE.size_notes(tasks) == [
        "task 2 (named 0): 1 of 1,000 training images",
        "task 2 (named 0): 1 of 2 test images",
    ]
    sizes = {"2": (3, 3, 1), "0": (2, 1, 1)}
    assert replace(MADE, sizes=sizes).size_notes(tasks) == ["task 1 (named 2): 2 of 3 classes"]


def test_options_are_as_prs_has_them() -> None:
    assert asdict(ListedOptions()) == {"splits": "", "image_size": 256, "allow_missing": False}
    paths = [option.name for option in fields(ListedOptions) if option.metadata["path"]]
    assert paths == ["splits"]  # where the lists stand is no part of what a run is
