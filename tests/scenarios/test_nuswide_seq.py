"""NUS-WIDEseq on made files, and against the official lists where they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import write_lists, write_nuswide

from clbench import Scenario, run
from clbench.data import nuswide
from clbench.data.coco import read_json
from clbench.errors import DataError, UsageError
from clbench.running.config import resolve
from clbench.scenario import listed
from clbench.scenario.listed import ListedOptions
from clbench.testing import check_scenario
from scenarios.nuswide_seq import BENCHMARK, NusWideSeq

MADE = {"3": ("sky", "fire"), "1": ("water",), "0": ("person", "rocks"), "5": ("toy",), "4": ("tree",), "2": ("sign",)}
"""Task -> its classes in the made collection."""
TRAIN, TEST = 4, 2
"""Images of each task."""


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """A root and lists: line numbers of the two image lists; every image also shows a concept outside the 49."""
    images: dict[str, list[list[str]]] = {"train": [], "test": []}
    lists: dict[str, tuple[list[int], list[int]]] = {}
    for task, classes in MADE.items():
        ids = []
        for part, count in (("train", TRAIN), ("test", TEST)):
            start = len(images[part])
            images[part] += [[classes[i % len(classes)], "zebra"] for i in range(count)]
            ids.append(list(range(start, start + count))[::-1])
        lists[task] = (ids[0], ids[1])
    images["train"].append(["sky", "water"])  # of two tasks, so in no list
    write_nuswide(tmp_path / "nus", images)
    return {
        "root": tmp_path / "nus",
        "splits": write_lists(tmp_path / "lists", lists, suffix="nuswide", columns=BENCHMARK.vocabulary),
        "lists": lists,
    }


def build(made: Mapping[str, Any], **options: Any) -> Scenario:
    return NusWideSeq(ListedOptions(splits=str(made["splits"]), image_size=16, **options), made["root"]).build()


def test_lists_make_the_tasks(made: dict[str, Any]) -> None:
    scenario = build(made)
    check_scenario(scenario)
    assert [task.name for task in scenario] == ["3", "1", "0", "5", "4", "2"]
    for task in scenario:
        train, test = made["lists"][task.name]
        assert [scenario.ids[i] for i in task.train] == [f"train/{line}" for line in train]
        assert [scenario.ids[i] for i in task.test] == [f"test/{line}" for line in test]
        assert {scenario.classes[c] for c in task.classes} == set(MADE[task.name])
    assert scenario.num_classes == 49 and "zebra" not in scenario.classes
    assert f"task 1 (named 3): {TRAIN} of 1,948 training images" in scenario.notes


def test_the_same_number_names_two_images(made: dict[str, Any]) -> None:
    scenario = build(made)
    files = [made["root"] / "Flickr" / part / "0000_0.jpg" for part in ("train", "test")]
    files[1].write_bytes((made["root"] / "Flickr/train/0003_3.jpg").read_bytes())
    rows = [scenario.ids.index(each) for each in ("train/0", "test/0", "train/3")]
    one, other, source = scenario.images.read(np.array(rows))
    assert (other == source).all() and not (one == other).all()


def test_missing_images_are_listed(made: dict[str, Any], tmp_path: Path) -> None:
    (made["root"] / "Flickr/train/0001_1.jpg").unlink()
    with pytest.raises(DataError, match="1 of 36 are missing, e.g. Flickr/train/0001_1.jpg"):
        build(made)
    settings = {"splits": str(made["splits"]), "image_size": 16, "backbone": "small", "allow_missing": True}
    [done] = run("nuswide-seq", "er", settings=settings, data_root=made["root"], out=tmp_path / "out")
    assert (done.folder / "absent.txt").read_text() == "Flickr/train/0001_1.jpg\n"
    assert "1 of 36 listed images are not there as a file: left out" in done.env["manifest"]["notes"]
    assert done.env["manifest"]["absent"] == 1


def test_images_may_stand_elsewhere(made: dict[str, Any]) -> None:
    pixels = build(made).images.read(np.arange(3))
    (made["root"] / "Flickr").rename(made["root"] / "images")
    assert (build(made).images.read(np.arange(3)) == pixels).all()


def test_rho_is_the_papers() -> None:
    assert resolve("nuswide-seq", "dlfl").options["memory"].rho == 0.02


def test_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected --data-root DIR, .*, and --set splits=DIR"):
        NusWideSeq(ListedOptions()).build()
    with pytest.raises(DataError, match="Expected the official id lists"):
        NusWideSeq(ListedOptions(splits=str(tmp_path)), tmp_path).build()


def test_the_49_classes() -> None:
    assert (len(BENCHMARK.majority), len(BENCHMARK.moderate), len(BENCHMARK.minority)) == (10, 18, 21)
    assert len(set(BENCHMARK.vocabulary)) == 49
    assert set(BENCHMARK.vocabulary) < set(nuswide.CLASSES) and len(set(nuswide.CLASSES)) == 81


def test_official_sizes_and_names(test_data: Path) -> None:
    lists = BENCHMARK.read_lists(test_data / "prs")
    sizes = {task: (len(ids.train), len(ids.test)) for task, ids in lists.items()}
    assert list(sizes) == ["3", "1", "0", "5", "4", "2"]
    assert sizes == {task: size[1:] for task, size in BENCHMARK.sizes.items()}
    assert [sum(parts) for parts in zip(*sizes.values(), strict=True)] == [48748, 2366]
    every = [image for ids in lists.values() for part in ids for image in part]
    assert len(set(every)) == len(every)
    for part, size in nuswide.SIZES.items():
        lines = [int(str(image).split("/")[1]) for image in every if str(image).startswith(part)]
        assert 0 <= min(lines) and max(lines) < size
    columns = read_json(test_data / "prs/dataset/data_source/NUSWIDEseq/multihot_map.json")
    assert tuple(sorted(columns, key=columns.__getitem__)) == BENCHMARK.vocabulary
    official = {"major": BENCHMARK.majority, "moderate": BENCHMARK.moderate, "minor": BENCHMARK.minority}
    for group, names in official.items():
        assert sorted(read_json(test_data / f"prs/code/resources/{group}_cats_nuswide.json")) == sorted(names)


@pytest.mark.slow
def test_the_official_lists_over_a_made_collection_of_full_size(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """269,648 lines, a class of its task for every listed image: the official scenario, without a note."""
    monkeypatch.setattr(listed, "missing_files", lambda root, paths: set())
    lists = BENCHMARK.read_lists(test_data / "prs")
    images: dict[str, list[list[str]]] = {part: [[] for _ in range(size)] for part, size in nuswide.SIZES.items()}
    parts = np.array_split(BENCHMARK.vocabulary, len(lists))
    for (train, test), names in zip(lists.values(), parts, strict=True):
        for place, image in enumerate([*train, *test]):
            part, line = str(image).split("/")
            images[part][int(line)] = [str(names[place % len(names)])]
    write_nuswide(tmp_path, images, pixels=False)
    scenario = NusWideSeq(ListedOptions(splits=str(test_data / "prs")), tmp_path).build()
    assert scenario.notes == ()
    assert sum(len(task.train) // 10 for task in scenario) == 194 + 1840 + 1767 + 473 + 237 + 362  # PRS's 4,873 steps
    assert scenario.images.size == 256
