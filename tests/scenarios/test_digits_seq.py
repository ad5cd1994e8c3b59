from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from clbench import Scenario
from clbench.arrays import IntArray
from clbench.data.digits import SceneMaker, makers
from clbench.testing import check_scenario
from scenarios import digits_seq
from scenarios.digits_seq import DigitsSeq


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    yield DigitsSeq().build()


def test_keeps_the_contract(scenario: Scenario) -> None:
    check_scenario(scenario)


def test_the_data_never_change(scenario: Scenario) -> None:
    # pinned: a change here makes another scenario, and old results incomparable
    assert scenario.manifest()["hash"] == "7d3eeec7561a2f08af1447c6c0d263fbf4dac780dff7ff9eb44f2bbfe0ec4252"


def test_sizes(scenario: Scenario) -> None:
    assert [len(task.train) for task in scenario] == [3000] * 5
    assert [len(task.test) for task in scenario] == [200] * 5
    assert sorted(c for task in scenario for c in task.classes) == list(range(20))
    assert [len(task.classes) for task in scenario] == [4] * 5
    assert scenario.images.size == 48


def test_a_scene_holds_one_to_four_labels_of_its_task_only(scenario: Scenario) -> None:
    for task in scenario:
        outside = [c for c in range(20) if c not in task.classes]
        for rows in (task.train, task.test):
            counts = scenario.labels[rows].sum(axis=1)
            assert counts.min() == 1 and counts.max() == 4
            assert not scenario.labels[rows][:, outside].any()


def test_the_stream_is_long_tailed_with_every_group_in_every_task(scenario: Scenario) -> None:
    counts = np.concatenate([task.labels for task in scenario]).sum(axis=0)
    assert counts.max() > 5 * counts.min()
    for task in scenario:
        for columns in scenario.groups.values():
            assert set(columns) & set(task.classes)
    means = [counts[list(scenario.groups[name])].mean() for name in ("majority", "moderate", "minority")]
    assert means == sorted(means, reverse=True)


def test_the_test_set_is_balanced(scenario: Scenario) -> None:
    counts = scenario.labels[scenario.test_indices()].sum(axis=0)
    assert counts.min() > 75 and counts.max() < 125


@pytest.mark.parametrize("part", ["train", "test"])
def test_each_part_is_drawn_by_its_own_maker(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blank(SceneMaker):
        def draw(self, labels: IntArray, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
            return np.zeros_like(super().draw(labels, rng))

    monkeypatch.setattr(digits_seq, "makers", lambda: makers() | {part: Blank(np.arange(200))})
    monkeypatch.setattr(digits_seq, "TRAIN_SCENES", 5)
    monkeypatch.setattr(digits_seq, "TEST_SCENES", 5)
    few = DigitsSeq().build()
    pixels = few.images.read(np.arange(len(few.ids)))
    blank = {str(few.ids[row]) for row, scene in enumerate(pixels) if not scene.any()}
    assert blank == {f"{part}-{task}-{scene}" for task in range(5) for scene in range(5)}


def test_tasks_are_known_without_the_data(scenario: Scenario) -> None:
    assert DigitsSeq().tasks() == tuple(tuple(scenario.classes[c] for c in task.classes) for task in scenario)
