"""The hidden class-incremental scenario of the contract tests: small, every axis makes a difference on it."""

from itertools import product

import numpy as np
import pytest

from clbench import Scenario
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.builder import load_builder
from clbench.scenario.protocols import EVAL_IMAGES, IMAGES, MISSING, REPLAY_LABELS
from clbench.testing import check_scenario


def build(**axes: object) -> Scenario:
    return build_scenario(resolve("debug-incremental", "finetune", settings=axes))


def test_it_is_the_same_each_time() -> None:
    assert build().manifest() == build().manifest()


@pytest.mark.slow
@pytest.mark.parametrize("images", IMAGES)
def test_every_combination_of_axes_keeps_the_contract_and_is_another_scenario(images: str) -> None:
    hashes = set()
    for missing, replay, scored in product(MISSING, REPLAY_LABELS, EVAL_IMAGES):
        scenario = build(images=images, missing=missing, replay_labels=replay, eval_images=scored)
        check_scenario(scenario)
        hashes.add((scenario.manifest()["hash"], scenario.protocol["replay_labels"]))
    different = len(REPLAY_LABELS) * len(EVAL_IMAGES) * (1 if images == "exclusive" else len(MISSING))
    assert len(hashes) == different  # nothing is missing where images are exclusive


def test_sixty_training_and_thirty_test_images_of_six_labels() -> None:
    scenario = build(eval_images="all")
    assert scenario.train_indices().tolist() == list(range(60)) and scenario.test_indices().tolist() == list(
        range(60, 90)
    )
    assert [task.classes for task in scenario] == [(0, 1), (2, 3), (4, 5)] and scenario.growing
    counts = scenario.labels.sum(axis=1)
    assert counts.min() == 1 and counts.max() == 4
    shown = np.array([scenario.labels[:, task.classes].any(axis=1) for task in scenario])
    assert (shown.sum(axis=0) > 1).any()  # some images belong to several tasks, so the axes differ
    assert scenario.images.size == 8 and scenario.name == "debug-incremental"


def test_the_order_may_be_drawn_from_the_seed() -> None:
    config = resolve("debug-incremental", "finetune", settings={"order": "seed"})
    for seed in (0, 3):
        drawn, given = build_scenario(config, None, seed), build(order=f"random:{seed}")
        assert drawn.manifest()["hash"] == given.manifest()["hash"] and drawn.classes == given.classes


def test_tasks_follow_the_order() -> None:
    builder = load_builder("debug-incremental")
    assert builder.tasks() == (("a", "b"), ("c", "d"), ("e", "f"))
    order = builder.Options(order="f,b,a,c,e,d")
    assert builder.configured(order).tasks() == (("f", "b"), ("a", "c"), ("e", "d"))
    given = build(order="f,b,a,c,e,d")
    assert given.classes == tuple("fbaced")
    plain = build()
    for name in "abcdef":
        assert np.array_equal(given.labels[:, given.classes.index(name)], plain.labels[:, plain.classes.index(name)])
