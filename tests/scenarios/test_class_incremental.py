"""Class-incremental scenarios on made files with the official layouts: classes, axes, notes, whole runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import every_class_twice, write_nuswide, write_voc

from clbench import Scenario, run
from clbench.data import nuswide, voc
from clbench.errors import DataError, UsageError
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.builder import load_builder
from clbench.scenario.sources import CocoOptions, FileOptions, VocOptions
from clbench.testing import check_scenario
from scenarios.class_incremental import ClassIncremental

TINY = {"image_size": 16, "backbone": "small", "epochs": 1}


def build(name: str, root: Path | None, **options: Any) -> Scenario:
    return build_scenario(resolve(name, "finetune", settings=options), root)


COCO_B0_C10 = """
airplane apple backpack banana baseball-bat baseball-glove bear bed bench bicycle
bird boat book bottle bowl broccoli bus cake car carrot
cat cell-phone chair clock couch cow cup dining-table dog donut
elephant fire-hydrant fork frisbee giraffe hair-drier handbag horse hot-dog keyboard
kite knife laptop microwave motorcycle mouse orange oven parking-meter person
pizza potted-plant refrigerator remote sandwich scissors sheep sink skateboard skis
snowboard spoon sports-ball stop-sign suitcase surfboard teddy-bear tennis-racket tie toaster
toilet toothbrush traffic-light train truck tv umbrella vase wine-glass zebra
"""
"""As the KRT family's code has them; a dash stands for a space."""


def test_the_tasks_of_coco_b0_c10_are_the_papers() -> None:
    expected = tuple(tuple(w.replace("-", " ") for w in line.split()) for line in COCO_B0_C10.strip().splitlines())
    assert load_builder("coco-b0-c10").tasks() == expected


@pytest.mark.parametrize(
    "name, sizes",
    [
        ("coco-b40-c10", [40] + [10] * 4),
        ("coco-b20-c4", [20] + [4] * 15),
        ("coco-b0-c5", [5] * 16),
        ("voc-b0-c4", [4] * 5),
        ("voc-b10-c2", [10] + [2] * 5),
        ("voc-b5-c3", [5] + [3] * 5),
        ("voc-b4-c2", [4] + [2] * 8),
        ("nuswide-b41-c5", [41] + [5] * 8),
        ("digits-b0-c4", [4] * 5),
        ("voc-b15-c5", [15, 5]),
    ],
)
def test_tasks_are_known_without_data(name: str, sizes: list[int]) -> None:
    tasks = load_builder(name).tasks()
    assert tasks is not None and [len(task) for task in tasks] == sizes
    flat = [each for task in tasks for each in task]
    assert flat == sorted(flat) and len(set(flat)) == len(flat)


def test_a_step_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="divide 80 classes evenly but got base 0 and step 7"):
        resolve("coco-b0-c7", "finetune")
    with pytest.raises(UsageError, match="Unknown scenario 'coco-b0'"):
        resolve("coco-b0", "finetune")
    with pytest.raises(
        UsageError, match="Unknown scenario 'coco-b0'; did you mean .* Or any <dataset>-b<base>-c<step>"
    ):
        ClassIncremental(name="coco-b0")


def test_each_name_has_a_builder_of_its_own() -> None:
    coco_, voc_ = load_builder("coco-b40-c10"), load_builder("voc-b5-c3")
    assert type(coco_) is type(voc_) is ClassIncremental
    assert (coco_.name, coco_.dataset, coco_.Options) == ("coco-b40-c10", "coco", CocoOptions)
    assert (voc_.name, voc_.dataset, voc_.Options) == ("voc-b5-c3", "voc", VocOptions)
    assert (coco_.defaults["train"]["lr"], voc_.defaults["train"]["lr"]) == (1e-4, 4e-5)
    assert load_builder("voc-b05-c003").name == "voc-b5-c3"  # one scenario has one name in results
    assert ClassIncremental(name="nuswide-b41-c5").options == FileOptions()


ALL = ("coco-b0-c10", "voc-b10-c2", "nuswide-b41-c5", "digits-b0-c4")


@pytest.mark.slow
@pytest.mark.parametrize("images", ["overlapping", "disjoint"])
@pytest.mark.parametrize("name", ALL)
def test_the_contract(name: str, images: str, roots: dict[str, Path | None]) -> None:
    dataset = load_builder(name).dataset
    if name.startswith("nuswide") and images == "disjoint":
        images = "overlapping"  # 41 classes take nearly all of so few images
    sized = {} if dataset == "digits" else {"image_size": 16}
    scenario = build(name, roots[dataset], images=images, **sized)
    check_scenario(scenario)
    found = tuple(tuple(scenario.classes[c] for c in task.classes) for task in scenario)
    assert found == load_builder(name).tasks()
    every = np.concatenate([task.train for task in scenario])
    assert (len(np.unique(every)) == len(every)) == (images == "disjoint")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["finetune", "dlfl"])
@pytest.mark.parametrize("name", ALL)
def test_whole_runs(name: str, strategy: str, roots: dict[str, Path | None], tmp_path: Path) -> None:
    dataset = load_builder(name).dataset
    settings = {key: value for key, value in TINY.items() if not (dataset == "digits" and key == "image_size")}
    [done] = run(name, strategy, settings=settings, view="limited:4", data_root=roots[dataset], out=tmp_path)
    assert done.state == "done"
    assert 0 < done.metrics["final"]["mAP"] <= 1
    scenario = build(name, roots[dataset], **({} if dataset == "digits" else {"image_size": 16}))
    logits = np.load(done.folder / "logits" / "task0.npy")
    seen = len(scenario[0].classes)
    assert np.isfinite(logits[:, :seen]).all() and np.isnan(logits[:, seen:]).all()  # the head has not grown yet
    # a class that has not been learned has no average precision yet
    assert all(value is None for value in done.metrics["ap"][0][seen:])


@pytest.mark.slow
def test_the_head_grows(roots: dict[str, Path | None], tmp_path: Path) -> None:
    settings = {key: value for key, value in TINY.items() if key != "image_size"}
    [done] = run("digits-b0-c4", "finetune", settings=settings, view="limited:4", out=tmp_path)
    [joint] = run("digits-b0-c4", "joint", settings=settings, view="limited:4", out=tmp_path)
    assert done.metrics["cost"]["parameters"] == joint.metrics["cost"]["parameters"]  # both know all 20 in the end


@pytest.mark.slow
def test_scores_of_early_tasks_do_not_know_how_many_are_to_come(tmp_path: Path) -> None:
    """mAP after the first task is the same whether 1 or 4 tasks follow it."""
    settings = {key: value for key, value in TINY.items() if key != "image_size"}
    first = []
    for name in ("digits-b4-c4", "digits-b4-c16"):
        [done] = run(name, "dlfl", settings=settings, out=tmp_path, view="limited:40")
        first.append(done.metrics["overall"][0])
    assert first[0] == first[1]


@pytest.mark.slow
def test_test_images(roots: dict[str, Path | None]) -> None:
    seen, every = (build("digits-b0-c4", None, eval_images=which) for which in ("seen-positive", "all"))
    for task in seen:
        assert seen.labels[task.test][:, list(task.classes)].any(axis=1).all()
    assert [len(task.test) for task in every] == [1000] * 5
    assert len(seen.test_indices()) == len(every.test_indices()) == 1000  # every scene shows a label


@pytest.mark.slow
def test_masked_and_negative_differ_in_what_is_known(roots: dict[str, Path | None]) -> None:
    negative, masked = (build("digits-b0-c4", None, missing=which) for which in ("negative", "masked"))
    assert [int(task.known[0].sum()) for task in negative] == [4, 8, 12, 16, 20]
    assert [int(task.known[0].sum()) for task in masked] == [4] * 5
    assert negative.manifest()["hash"] != masked.manifest()["hash"]


def test_order_of_the_classes(roots: dict[str, Path | None]) -> None:
    drawn = build("voc-b10-c2", roots["voc"], order="random:1", image_size=16)
    assert sorted(drawn.classes) == sorted(voc.CLASSES) and list(drawn.classes) != sorted(voc.CLASSES)
    by_seed = resolve("voc-b10-c2", "finetune", settings={"order": "seed", "image_size": 16})
    of_one = build_scenario(by_seed, roots["voc"], 1)
    assert of_one.drawn is not None and of_one.manifest()["hash"] == drawn.manifest()["hash"]
    given = build("voc-b10-c2", roots["voc"], order=",".join(voc.CLASSES[::-1]), image_size=16)
    assert list(given.classes) == voc.CLASSES[::-1]
    plain = build("voc-b10-c2", roots["voc"], image_size=16)
    column = plain.classes.index("dog")
    assert np.array_equal(plain.labels[:, column], given.labels[:, given.classes.index("dog")])


@pytest.mark.slow
def test_missing_images_are_counted_and_listed(tmp_path: Path) -> None:
    write_nuswide(
        tmp_path,
        {"train": every_class_twice(nuswide.CLASSES, 243, 3), "test": every_class_twice(nuswide.CLASSES, 162, 4)},
    )
    gone = [tmp_path / "Flickr/train/0100_100.jpg", tmp_path / "Flickr/test/0007_7.jpg"]
    for file in gone:
        file.unlink()
    with pytest.raises(DataError, match="1 of 243 are missing, e.g. Flickr/train/0100_100.jpg; .* --allow-missing"):
        build("nuswide-b41-c5", tmp_path)
    settings = {**TINY, "allow_missing": True}
    [done] = run(
        "nuswide-b41-c5", "finetune", settings=settings, view="limited:2", data_root=tmp_path, out=tmp_path / "out"
    )
    assert any(note.startswith("2 of 405 images are not there") for note in done.env["manifest"]["notes"])
    listed = (done.folder / "absent.txt").read_text().splitlines()
    assert listed == ["Flickr/train/0100_100.jpg", "Flickr/test/0007_7.jpg"]
    scenario = build("nuswide-b41-c5", tmp_path, allow_missing=True)
    used = {scenario.ids[i] for task in scenario for rows in (task.train, task.test) for i in rows}
    assert "train/100" not in used and "test/7" not in used


def test_too_few_images_for_a_task(tmp_path: Path) -> None:
    rows = [{"cat": 1}, {"dog": 1}]
    write_voc(tmp_path, {"trainval": rows, "test": rows})
    with pytest.raises(DataError, match=r"of task 1 \(aeroplane, bicycle, bird, boat\) but got 0 and 0"):
        build("voc-b0-c4", tmp_path)


def test_no_data_root() -> None:
    for name in ("coco-b0-c10", "voc-b0-c4", "nuswide-b41-c5"):
        with pytest.raises(UsageError, match="Expected --data-root DIR"):
            build(name, None)
