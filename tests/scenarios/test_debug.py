"""The hidden scenario of the contract tests: small, whole, and always the same."""

import numpy as np
import pytest

from clbench import Scenario
from clbench.scenario.builder import load_builder
from clbench.testing import check_scenario


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_builder("debug").build()


def test_debug_keeps_the_contract(scenario: Scenario) -> None:
    check_scenario(scenario)


def test_it_is_the_same_each_time(scenario: Scenario) -> None:
    assert load_builder("debug").build().manifest() == scenario.manifest()


def test_three_tasks_of_ten_images(scenario: Scenario) -> None:
    assert [task.train.tolist() for task in scenario] == [list(range(start, start + 7)) for start in (0, 10, 20)]
    assert [task.test.tolist() for task in scenario] == [list(range(start, start + 3)) for start in (7, 17, 27)]
    assert len(scenario.ids) == 32 and not scenario.labels[30:].any()  # two images belong to no task
    assert scenario.images.size == 8 and scenario.name == "debug"


def test_every_image_has_a_label_of_its_task_alone_and_every_label_images_in_both_parts(scenario: Scenario) -> None:
    for task in scenario:
        for rows in (task.train, task.test):
            shown = scenario.labels[rows]
            assert shown[:, task.classes].any(axis=1).all() and shown[:, task.classes].any(axis=0).all()
            assert not np.delete(shown, task.classes, axis=1).any()


def test_tasks_and_axes_are_known_without_the_data(scenario: Scenario) -> None:
    builder = load_builder("debug")
    assert builder.tasks() == tuple(tuple(scenario.classes[c] for c in task.classes) for task in scenario)
    assert builder.protocol() == scenario.protocol and builder.data_parts() == ()
    assert sorted(c for columns in scenario.groups.values() for c in columns) == list(range(6))
