from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench import Scenario
from clbench.data.digits import CLASSES, SceneMaker
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
    assert scenario.manifest()["hash"] == "8072d6eeb7c39d32c1cc3ce6b73a6a5122e2d57ccf139bf159508441557929a6"


def test_sizes(scenario: Scenario) -> None:
    assert [len(task.train) for task in scenario] == [1000] * 5
    assert [len(task.test) for task in scenario] == [200] * 5
    assert sorted(c for task in scenario for c in task.classes) == list(range(20))
    assert [len(task.classes) for task in scenario] == [4] * 5
    assert scenario.images.size == 64


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


def test_digits_of_train_and_test_are_disjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[set[int]] = []

    class Spy(SceneMaker):
        def __init__(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
            given.append(set(rows.tolist()))
            super().__init__(rows)

    monkeypatch.setattr(digits_seq, "SceneMaker", Spy)
    monkeypatch.setattr(digits_seq, "TRAIN_SCENES", 5)
    monkeypatch.setattr(digits_seq, "TEST_SCENES", 5)
    DigitsSeq().build()
    assert [len(rows) for rows in given] == [1300, 497]
    assert not given[0] & given[1]


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
    assert drawn.manifest()["hash"] == "10e864bee487d518d6595689231fe13547695861a9c4cd9362e9d0e7c68716d6"
    assert drawn.drawn == Drawn(1, "88251bd9588d38edfbe1e1ed8a05bca30db2556d94e7ec6603770ca92a992bbc")


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
