from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from clbench import Scenario
from clbench.data import digits
from clbench.data.digits import DIGIT, GRID, SCENE, SceneMaker
from clbench.randomness import generator
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


def test_a_scene_shows_the_inks_of_its_labels() -> None:
    # on a black background with opaque digits every coloured pixel is an ink's
    maker = SceneMaker(np.arange(200))
    maker._photos = [np.zeros((SCENE, SCENE, 3))]
    maker._alpha = np.ones_like(maker._alpha)
    scene = maker.draw(np.array([2, 5]), generator(0, "test"))  # 1 light, 2 dark
    colours, counts = np.unique(scene.reshape(3, -1).T, axis=0, return_counts=True)
    inks = {tuple(np.rint(np.array(ink) * 255).astype(int)): DIGIT * DIGIT for ink in digits.INKS.values()}
    found = {tuple(map(int, colour)): int(n) for colour, n in zip(colours, counts, strict=True)}
    assert found == inks | {(0, 0, 0): SCENE * SCENE - 2 * DIGIT * DIGIT}


def test_cells_do_not_overlap() -> None:
    starts = [{digits._corner(cell, generator(i, "corner")) for i in range(200)} for cell in range(GRID)]
    for one, other in combinations(starts, 2):
        assert max(one) + DIGIT <= min(other) or max(other) + DIGIT <= min(one)
    assert max(starts[-1]) + DIGIT <= SCENE


def test_upsampling_is_bilinear() -> None:
    raw = load_digits().images[:3] / 16.0
    doubled = digits._doubled(raw)
    assert doubled.shape == (3, 16, 16)
    # interpolation by hand at the pixel centres: output pixel i lies at (i + 0.5) / 2 - 0.5 of the input
    at = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    low = np.floor(at).astype(int)
    high, weight = np.minimum(low + 1, 7), at - low
    rows = raw[:, low] * (1 - weight)[:, None] + raw[:, high] * weight[:, None]
    expected = rows[:, :, low] * (1 - weight) + rows[:, :, high] * weight
    np.testing.assert_allclose(doubled, expected, atol=1e-12)
