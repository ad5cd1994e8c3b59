import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import write_coco, write_lists

from clbench import Scenario, run
from clbench.data.coco import find_layout, read_instances
from clbench.data.collection import in_columns
from clbench.errors import DataError, UsageError
from clbench.running.config import resolve
from clbench.testing import check_scenario
from scenarios import coco_seq
from scenarios.coco_seq import BENCHMARK, EXCLUDED, VOCABULARY, CocoSeq, Options

Images = dict[int, list[str]]
Lists = dict[str, tuple[list[int], list[int]]]
ORDER = ["0", "3", "1", "2"]
BED = r"'bed' in task 2 \(named 3\), task 4 \(named 2\)"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, made_images: Images) -> Path:
    """A made collection in the 2017 layout; tests that change something copy it."""
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder, made_images)
    return folder


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory, made_lists: Lists) -> Path:
    return write_lists(tmp_path_factory.mktemp("lists") / "COCOseq", made_lists)


def official(root: Path | None, splits: Path, **options: Any) -> Scenario:
    return CocoSeq(Options(splits=str(splits), image_size=16, **options), root).build()


def by_rule(root: Path, **options: Any) -> Scenario:
    return CocoSeq(Options(splits="rule", image_size=16, **options), root).build()


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def test_the_70_classes() -> None:
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 70 and list(VOCABULARY) == sorted(VOCABULARY)
    assert (len(BENCHMARK.majority), len(BENCHMARK.moderate), len(BENCHMARK.minority)) == (18, 38, 14)
    assert len(set(EXCLUDED) - set(VOCABULARY)) == 10


def test_the_official_sizes_add_up() -> None:
    assert [sum(sizes) for sizes in zip(*BENCHMARK.sizes.values(), strict=True)] == [70, 35072, 6366]


def test_lists_make_the_tasks(root: Path, splits: Path, made_images: Images, made_lists: Lists) -> None:
    scenario = official(root, splits)
    check_scenario(scenario)
    assert scenario.name == "coco-seq"
    assert [task.name for task in scenario] == ORDER
    assert scenario.classes == VOCABULARY
    for task in scenario:
        train, test = made_lists[task.name]
        assert [scenario.ids[i] for i in task.train] == train  # in the list's order
        assert [scenario.ids[i] for i in task.test] == test
        wanted = {name for image in train + test for name in made_images[image]} - {"person"}
        assert {scenario.classes[c] for c in task.classes} == wanted
        assert task.known.all()
        assert np.array_equal(task.labels, scenario.labels[task.train])


def test_labels_are_those_of_the_70_classes(root: Path, splits: Path, made_images: Images) -> None:
    scenario = official(root, splits)
    for image, row in zip(scenario.ids, scenario.labels, strict=True):
        assert {scenario.classes[c] for c in np.flatnonzero(row)} == set(made_images[int(image)]) - {"person"}


def test_groups_are_by_the_official_names(root: Path, splits: Path) -> None:
    groups = {name: [VOCABULARY[c] for c in columns] for name, columns in official(root, splits).groups.items()}
    assert groups == {
        "majority": sorted(BENCHMARK.majority),
        "moderate": sorted(BENCHMARK.moderate),
        "minority": sorted(BENCHMARK.minority),
    }


def test_both_releases_are_the_same_scenario(tmp_path: Path, root: Path, splits: Path, made_images: Images) -> None:
    write_coco(tmp_path, made_images, release="2014")
    old, new = official(tmp_path, splits), official(root, splits)
    assert old.manifest() == new.manifest()
    rows = np.arange(len(new.ids))
    assert old.images.read(rows).equal(new.images.read(rows))
    assert by_rule(tmp_path).manifest() == by_rule(root).manifest()


def test_less_than_the_official_sizes_is_noted(root: Path, splits: Path) -> None:
    scenario = official(root, splits)
    assert {
        "task 1: 3 of 24 classes",
        "task 1: 6 of 8,365 training images",
        "task 1: 3 of 1,960 test images",
        "task 4 (named 2): 6 of 11,603 training images",
    } < set(scenario.notes)
    assert len([note for note in scenario.notes if note.startswith("task")]) == 12
    assert scenario.manifest()["notes"] == list(scenario.notes)


def test_official_sizes_need_no_note(root: Path, splits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"0": (3, 6, 3), "3": (2, 6, 3), "1": (3, 6, 3), "2": (2, 6, 3)}
    monkeypatch.setattr(coco_seq, "BENCHMARK", replace(BENCHMARK, sizes=sizes))
    [note] = official(root, splits).notes
    assert note.startswith("no image shows airplane, apple, backpack,") and note.endswith("; the columns stay empty")


def test_an_image_without_any_of_the_classes_stays(
    tmp_path: Path, splits: Path, made_images: Images, made_lists: Lists
) -> None:
    bare, nothing = made_lists["3"][0][0], made_lists["1"][1][0]
    write_coco(tmp_path, made_images | {bare: ["person"], nothing: []})
    scenario = official(tmp_path, splits)
    assert "2 images show none of the 70 classes and stay as negatives of all" in scenario.notes
    assert not scenario[1].labels[0].any() and scenario.ids[scenario[1].train[0]] == bare
    assert not scenario.labels[scenario[2].test[0]].any() and scenario.ids[scenario[2].test[0]] == nothing


@pytest.mark.parametrize("part", [0, 1])
def test_a_class_in_two_tasks_is_an_error(
    tmp_path: Path, splits: Path, made_images: Images, made_lists: Lists, part: int
) -> None:
    image = made_lists["3"][part][0]  # a training or a test image
    write_coco(tmp_path, made_images | {image: ["skis", "bed"]})
    with pytest.raises(DataError, match=f"1 of 70 have images in several tasks: {BED}"):
        official(tmp_path, splits)


def test_a_crowd_region_counts_unless_excluded(
    tmp_path: Path, splits: Path, made_images: Images, made_lists: Lists
) -> None:
    image = made_lists["3"][0][0]
    write_coco(tmp_path, made_images | {image: ["skis", "bed"]}, crowd=[image])
    with pytest.raises(DataError, match=BED):
        official(tmp_path, splits)
    scenario = official(tmp_path, splits, crowd="exclude")
    assert not scenario[1].labels[0].any()
    assert scenario.protocol["crowd regions"] == "do not count"


def test_ids_without_annotations(tmp_path: Path, root: Path, made_lists: Lists) -> None:
    train, test = made_lists["3"]
    made = made_lists | {"3": ([7001, *train, 7002], [7003, *test])}
    splits = write_lists(tmp_path, made)
    sentence = "every listed image to be in the annotations below .* but 3 of 39 are missing, e.g. 7001, 7002, 7003; "
    with pytest.raises(DataError, match=sentence):
        official(root, splits)
    scenario = official(root, splits, allow_missing=True)
    assert "3 of 39 listed images are not in the annotations: left out" in scenario.manifest()["notes"]
    assert [scenario.ids[i] for i in scenario[1].train] == train
    check_scenario(scenario)


def test_missing_image_files(tmp_path: Path, root: Path, splits: Path, made_lists: Lists) -> None:
    broken = copied(root, tmp_path / "coco")
    for image in (made_lists["0"][0][1], made_lists["0"][1][0]):
        (broken / f"train2017/{image:012d}.jpg").unlink()
    sentence = "every listed image to be there as a file below .* but 2 of 36 are missing, e.g. train2017/0"
    with pytest.raises(DataError, match=sentence):
        official(broken, splits)
    with pytest.raises(DataError, match="2 of 36 are missing, .*--allow-missing"):
        by_rule(broken)
    scenario = official(broken, splits, allow_missing=True)
    assert "2 of 36 listed images are not there as a file: left out" in scenario.notes
    assert (len(scenario[0].train), len(scenario[0].test)) == (5, 2)
    check_scenario(scenario)
    assert scenario.manifest()["hash"] != official(root, splits).manifest()["hash"]
    check_scenario(by_rule(broken, allow_missing=True))


def test_a_part_that_is_not_there(tmp_path: Path, root: Path, splits: Path) -> None:
    train_only = copied(root, tmp_path / "coco")
    (train_only / "annotations/instances_val2017.json").unlink()
    with pytest.raises(
        DataError, match=r"but 12 of 36 are missing, .* \(annotations/instances_val2017.json is not there\)"
    ):
        official(train_only, splits)


def test_one_part_is_enough_where_it_has_every_listed_image(
    tmp_path: Path, made_images: Images, made_lists: Lists
) -> None:
    write_coco(tmp_path / "coco", made_images | {9000 + i: [] for i in range(18)})  # the third that becomes val
    (tmp_path / "coco/annotations/instances_val2017.json").unlink()
    scenario = official(tmp_path / "coco", write_lists(tmp_path / "lists", made_lists))
    assert scenario.notes[0] == "annotations/instances_val2017.json is not there"
    assert len(scenario.ids) == 36


def test_no_collection(tmp_path: Path, splits: Path) -> None:
    with pytest.raises(DataError, match="cocodataset.org"):
        official(tmp_path, splits)
    with pytest.raises(UsageError, match="Expected --data-root DIR"):
        official(None, splits)


def test_a_task_without_training_images(tmp_path: Path, root: Path, made_lists: Lists) -> None:
    made = made_lists | {"1": ([7001, 7002], made_lists["1"][1])}
    with pytest.raises(DataError, match=r"Expected training and test images in task 3 \(named 1\) but got 0 and 3"):
        official(root, write_lists(tmp_path / "one", made), allow_missing=True)
    made = made_lists | {"1": (made_lists["1"][0], [])}
    with pytest.raises(DataError, match=r"in task 3 \(named 1\) but got 6 and 0"):
        official(root, write_lists(tmp_path / "two", made))


def test_a_category_that_the_annotations_lack(tmp_path: Path, splits: Path, made_images: Images) -> None:
    write_coco(
        tmp_path, made_images, names=[name for name in VOCABULARY if name not in ("dog", "hot dog")] + ["person"]
    )
    scenario = official(tmp_path, splits)
    assert scenario.classes == VOCABULARY
    assert "the annotations have no category dog, hot dog" in scenario.notes


def test_no_splits(root: Path) -> None:
    with pytest.raises(UsageError, match=r"splits=DIR, a folder of the official id lists .*cdjkim/PRS.* splits=rule"):
        CocoSeq(data_root=root).build()
    with pytest.raises(DataError, match=r"Expected the official id lists in .*nowhere .*clone cdjkim/PRS"):
        official(root, root / "nowhere")


def test_the_rule_is_named_apart(root: Path, splits: Path) -> None:
    scenario = by_rule(root)
    check_scenario(scenario)
    assert scenario.name == CocoSeq(Options(splits="rule")).name == "coco-seq-rule"
    assert scenario.protocol["splits"] == "rule" and official(root, splits).protocol["splits"] == "official"
    assert scenario.protocol["class order"] == "rule: alphabetical, 18/18/17/17 classes"
    assert official(root, splits).protocol["class order"] == "official: 0, 3, 1, 2"
    assert scenario.classes == VOCABULARY


def test_the_rules_own_map() -> None:
    tasks = CocoSeq(Options(splits="rule")).tasks()
    assert tasks is not None and [len(names) for names in tasks] == [18, 18, 17, 17]
    assert tuple(name for names in tasks for name in names) == VOCABULARY
    assert CocoSeq(Options()).tasks() is CocoSeq(Options(splits="lists")).tasks() is None


def test_the_rule_uses_images_of_one_task_only(tmp_path: Path, made_images: Images) -> None:
    images = made_images | {901: ["apple", "cat"], 902: ["person"], 903: [], 904: ["apple", "person"]}
    write_coco(tmp_path, images)
    scenario = by_rule(tmp_path)
    tasks = CocoSeq(Options(splits="rule")).tasks()
    assert tasks is not None
    used: list[int | str] = []
    for task, names in zip(scenario, tasks, strict=True):
        assert {scenario.classes[c] for c in task.classes} <= set(names)
        for row in (*task.train, *task.test):
            used.append(scenario.ids[row])
            shown = set(images[int(scenario.ids[row])]) - {"person"}
            assert shown and shown <= set(names)
    one_task = [i for i, names in images.items() if sum(bool(set(names) & set(task)) for task in tasks) == 1]
    assert sorted(map(int, used)) == sorted(one_task) and 904 in used and not {901, 902, 903} & set(used)
    several = len(images) - len(one_task) - 2
    assert several > 0
    used_note = f"rule: {len(one_task)} of {len(images)} images show classes of one task only and are used"
    assert f"{used_note}; 2 show none, {several} show classes of several tasks" in scenario.notes


def test_the_rules_test_set_is_balanced_and_held_out(tmp_path: Path) -> None:
    images: Images = {i: [("dog", "cat", "zebra")[i % 3]] for i in range(90)}
    write_coco(tmp_path / "coco", images | {1000 + i: ["dog"] for i in range(60)}, pixels=False)
    (tmp_path / "map.json").write_text(json.dumps({"dog": 0, "cat": 0, "zebra": 2}))
    table = read_instances(find_layout(tmp_path / "coco").parts)
    tasks = coco_seq.read_class_tasks(str(tmp_path / "map.json"))
    assert tasks == {"0": ("cat", "dog"), "2": ("zebra",)}
    table = in_columns(table, ("cat", "dog", "zebra"))
    lists = coco_seq.split_by_rule(table, tasks, 20)
    labels = dict(zip(table.ids, table.labels, strict=True))
    for task, counts in {"0": [15, 20, 0], "2": [0, 0, 15]}.items():  # 30 cats: at most half of them
        assert np.sum([labels[i] for i in lists[task].test], axis=0).tolist() == counts
        assert not set(lists[task].train) & set(lists[task].test)
    assert {i for task in lists.values() for part in task for i in part} == set(table.ids)
    assert coco_seq.split_by_rule(table, tasks, 20) == lists
    halves = replace(table, ids=table.ids[::-1])
    assert coco_seq.split_by_rule(halves, tasks, 20) != lists  # it is the images that are drawn


def test_the_rules_draw_never_changes(root: Path) -> None:
    # pinned: a change here makes another scenario, and old results incomparable
    scenario = by_rule(root)
    drawn = [[scenario.ids[row] for row in task.test] for task in scenario]
    assert drawn == [[300, 303, 304, 307], [202, 203, 205, 207], [401, 402, 406, 407], [101, 105, 106]]


def test_the_rule_over_a_given_map(tmp_path: Path, root: Path, made_images: Images) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"train": 7, "tv": 7, "person": 1, "toothbrush": 7}))
    builder = CocoSeq(Options(splits="rule", class_tasks=str(file), image_size=16), root)
    assert builder.tasks() == (("person",), ("toothbrush", "train", "tv"))
    scenario = builder.build()
    check_scenario(scenario)
    assert [task.name for task in scenario] == ["1", "7"]
    assert scenario.classes == ("person", "toothbrush", "train", "tv")
    assert scenario.groups == {"majority": (2,), "moderate": (3,), "minority": (1,)}
    assert scenario.protocol["class order"] == "rule: a given map"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", 'map.json to be an object like {"dog": 0, "cat": 1}'),
        ("{}", "to be an object like"),
        ('{"dog": "0"}', "to be an object like"),
        ('{"dog": true}', "to be an object like"),
        ('{"dogg": 0}', "Unknown class 'dogg'; did you mean 'dog'?"),
        ('{"dog"', "map.json to be JSON but line 1, column 7"),
    ],
)
def test_a_bad_map(tmp_path: Path, root: Path, content: str, sentence: str) -> None:
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(DataError) as caught:
        by_rule(root, class_tasks=str(tmp_path / "map.json"))
    assert sentence in str(caught.value)


def test_the_defaults_are_those_of_prs() -> None:
    options = resolve("coco-seq", "er").options
    train, model = options["train"], options["model"]
    assert (train.lr, train.batch_size, train.epochs, train.grad_clip, train.drop_last) == (1e-4, 10, 1, 5.0, True)
    assert (train.optimizer, train.weight_decay, train.loss, train.reduction) == ("adam", 0.0, "bce", "mean")
    assert model.backbone == "resnet101" and options["memory"].size == "2000"
    assert options["scenario"].image_size == 256


def test_where_the_lists_stand_is_no_part_of_a_runs_identity(tmp_path: Path, root: Path, splits: Path) -> None:
    elsewhere = copied(splits, tmp_path / "copy")
    hashes = {
        resolve("coco-seq", "finetune", settings={"splits": str(folder)}).hash(
            scenario_name="coco-seq",
            data=official(root, folder).manifest()["hash"],
            weights={"source": "", "sha256": ""},
        )
        for folder in (splits, elsewhere)
    }
    assert len(hashes) == 1


def test_a_whole_run(tmp_path: Path, root: Path, splits: Path) -> None:
    quick = {"splits": str(splits), "image_size": 16, "backbone": "small", "memory.size": 5, "batch_size": 3}
    [done] = run("coco-seq", "er", settings=quick, data_root=root, out=tmp_path)
    assert done.state == "done"
    assert done.env["manifest"]["notes"] == list(official(root, splits).notes)
    assert done.config["protocol"]["splits"] == "official"
    assert done.config["paper"]["settings"]["model.weights"] == ["imagenet"]  # and the run has none
