from collections.abc import Iterator

import numpy as np
import pytest
from blank_digits import makers_blank_in
from hypothesis import given
from hypothesis import strategies as st

from clbench import Scenario
from clbench.data.digits import CLASSES
from clbench.scenario.tasks import Drawn
from clbench.testing import check_scenario, check_seeded
from scenarios import digits_seq
from scenarios.digits_seq import DigitsSeq, Options


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
    monkeypatch.setattr(digits_seq, "makers", lambda: makers_blank_in(part))
    monkeypatch.setattr(digits_seq, "TRAIN_SCENES", 5)
    monkeypatch.setattr(digits_seq, "TEST_SCENES", 5)
    few = DigitsSeq().build()
    pixels = few.images.read(np.arange(len(few.ids)))
    blank = {str(few.ids[row]) for row, scene in enumerate(pixels) if not scene.any()}
    assert blank == {f"{part}-{task}-{scene}" for task in range(5) for scene in range(5)}


def test_tasks_are_known_without_the_data(scenario: Scenario) -> None:
    assert DigitsSeq().tasks() == tuple(tuple(scenario.classes[c] for c in task.classes) for task in scenario)


BY_SEED = DigitsSeq(Options(order="seed"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits_seq, "TRAIN_SCENES", 20)
    monkeypatch.setattr(digits_seq, "TEST_SCENES", 20)


def test_drawn_from_the_seed_it_keeps_the_contract(small: None) -> None:
    check_seeded(BY_SEED)


def test_what_seeds_draw_never_changes(small: None) -> None:
    # pinned, as above
    drawn = BY_SEED.of_seed(1).build()
    assert drawn.manifest()["hash"] == "aa71089a86fc3fc4534239bb49fed468cf1e1097296f393522e83dab86b3a25e"
    assert drawn.drawn == Drawn(1, "9009533039bded7dbf5cd9107686c0e5f03cbf72dc2ca08e2974ffc61aea8ad6")


def test_the_fixed_order_is_no_seeds(scenario: Scenario) -> None:
    assert scenario.drawn is None and not DigitsSeq().seeded and DigitsSeq().of_seed(1).tasks() == DigitsSeq().tasks()
    assert all(BY_SEED.of_seed(seed).tasks() != DigitsSeq().tasks() for seed in (0, digits_seq.SEED))


@given(st.integers(0, 2**32))
def test_every_seed_has_tasks_of_four_and_every_group_in_each(seed: int) -> None:
    builder = BY_SEED.of_seed(seed)
    tasks = digits_seq.class_tasks(builder.source_seed)
    assert sorted(c for columns in tasks for c in columns) == list(range(20))
    assert tuple(tuple(CLASSES[c] for c in columns) for columns in tasks) == builder.tasks()
    groups = digits_seq.frequency_groups(digits_seq.ranked(tasks, builder.source_seed))
    assert [len(columns) for columns in groups.values()] == [5, 10, 5]
    assert sorted(c for columns in groups.values() for c in columns) == list(range(20))
    assert all(set(columns) & set(task) for columns in groups.values() for task in tasks)


def test_which_labels_are_frequent_differs_between_seeds(small: None) -> None:
    groups = [BY_SEED.of_seed(seed).build().groups for seed in (0, 1)]
    assert groups[0].keys() == groups[1].keys() and groups[0]["majority"] != groups[1]["majority"]
