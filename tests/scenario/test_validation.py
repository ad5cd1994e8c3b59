"""Held-out images: which they are, that nothing trains on them, and which of their labels count."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import Groups, grouped_labels

from clbench import Scenario
from clbench.arrays import BoolArray, LabelArray
from clbench.data.collection import Collection, LabelTable
from clbench.data.images import ArrayImages
from clbench.errors import UsageError
from clbench.metrics import Scores, evaluate
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.incremental import IncrementalOptions, assemble, axes
from clbench.scenario.protocols import EVAL_IMAGES, IMAGES, MISSING
from clbench.scenario.views import first, held_out, limited, seen_through, shown, validation
from clbench.testing import check_scenario

TESTS, SHARE = 8, 0.4
"""Test images of a made scenario, before its training images; what is held out of these."""
CASES = st.tuples(
    grouped_labels(),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.sampled_from(IMAGES),
    st.sampled_from(MISSING),
    st.sampled_from(EVAL_IMAGES),
)


def ids_with(wanted: list[bool]) -> list[int]:
    """Ids of which those are held out that are wanted."""
    found, candidates = [], iter(range(1000, 2000))
    for out in wanted:
        found.append(next(each for each in candidates if bool(held_out([each], SHARE)[0]) == out))
    return found


def made(
    labels: LabelArray, groups: Groups, wanted: list[bool], images: str, missing: str, tested: str = "seen-positive"
) -> Scenario:
    """Training images with these labels, of which these are held out; each test image shows everything."""
    columns, number = labels.shape[1], TESTS + len(labels)
    shown_by = np.concatenate([np.ones((TESTS, columns), np.uint8), labels])
    ids = (*range(TESTS), *ids_with(wanted))
    table = LabelTable(ids, ("",) * number, tuple(map(str, range(columns))), shown_by)
    rows = np.arange(number)
    pixels = ArrayImages(np.zeros((number, 3, 2, 2), np.uint8))
    options = IncrementalOptions(images=images, missing=missing, eval_images=tested)
    names = [[str(c) for c in group] for group in groups]
    return assemble("made", Collection(table, rows[TESTS:], rows[:TESTS], pixels), names, options, axes(options))


def both(case: Any) -> tuple[Scenario, Scenario]:
    """A made scenario and its validation view; two more images of each task leave none of them empty."""
    (labels, groups), wanted, *options = case
    more = np.zeros((2 * len(groups), labels.shape[1]), np.uint8)
    for task, columns in enumerate(groups):
        more[2 * task : 2 * task + 2, columns[0]] = 1
    pairs = [True, False] * len(groups)
    whole = made(np.concatenate([labels, more]), groups, [*wanted[: len(labels)], *pairs], *options)
    return whole, validation(whole, SHARE)


def known_of(scenario: Scenario) -> BoolArray:
    """The definition, one image and task at a time, of a scenario whose images are not exclusive."""
    found = np.zeros(scenario.labels.shape, np.bool_)
    for task in scenario:
        for image in task.train:
            for column in task.classes:
                found[image, column] = True
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(CASES)
def test_no_task_trains_on_a_held_out_image_and_all_are_tested_on(case: Any) -> None:
    whole, view = both(case)
    held = {i for i in whole.train_indices().tolist() if held_out([whole.ids[i]], SHARE)[0]}
    assert set(view.test_indices().tolist()) == held and min(held) >= TESTS  # of the test images there is none
    for task, before in zip(view, whole, strict=True):
        places = [p for p, image in enumerate(before.train.tolist()) if image not in held]
        assert task.train.tolist() == before.train[places].tolist()
        assert np.array_equal(task.labels, before.labels[places]) and np.array_equal(task.known, before.known[places])
        own = held & set(before.train.tolist())
        assert set(task.test.tolist()) == (held if whole.protocol["eval_images"] == "all" else own) and own
    check_scenario(view)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(CASES)
def test_only_what_a_task_shows_is_scored(case: Any) -> None:
    whole, view = both(case)
    held, exclusive = view.test_indices(), whole.protocol["images"] == "exclusive"
    known = np.ones(whole.labels.shape, np.bool_) if exclusive else known_of(whole)
    if known[held].all():
        assert view.scored is None
    else:
        assert view.scored is not None and np.array_equal(view.scored[held], known[held])
    assert np.array_equal(view.tested(held), whole.labels[held] * known[held])


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(CASES)
def test_hidden_labels_of_held_out_images_change_no_metric(case: Any) -> None:
    whole, view = both(case)
    turned = np.where(
        np.ones(view.labels.shape) if view.scored is None else view.scored, view.labels, 1 - view.labels
    ).astype(np.uint8)
    rng, test = np.random.default_rng(0), view.test_indices()
    logits = [rng.normal(size=(len(test), view.num_classes)).astype(np.float32) for _ in view]

    def summary(scenario: Scenario) -> str:
        rows = [np.searchsorted(np.sort(test), np.sort(task.test)) for task in scenario]
        order = np.sort(test)
        scores = Scores(
            logits=logits,
            labels=scenario.labels[order],
            task_rows=rows,
            task_classes=[task.classes for task in scenario],
            scored=scenario.scored[order] if scenario.scored is not None else None,
        )
        return json.dumps(evaluate(scores, {}))

    assert summary(replace(view, labels=turned)) == summary(view)


def test_by_hand() -> None:
    """Images 8 to 11: class 0 alone, both, class 1 alone, both; the second and the third are held out."""
    labels = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], np.uint8)
    whole = made(labels, ((0,), (1,)), [False, True, True, False], "overlapping", "negative")
    view = validation(whole, SHARE)
    assert [task.train.tolist() for task in view] == [[8, 11], [11]]
    assert [task.test.tolist() for task in view] == [[9], [9, 10]]
    assert view.scored is not None and view.scored[[9, 10]].tolist() == [[True, True], [False, True]]
    assert view.tested(np.array([9, 10])).tolist() == [[1, 1], [0, 1]]
    assert view.notes == (
        "2 of 4 training images are held out and tested on, the test images nowhere used; labels that no task shows "
        "are not scored",
    )
    assert view.protocol == {**whole.protocol, "test images": "held out of the training images, share 0.4"}


def test_an_image_is_held_out_by_its_id_alone() -> None:
    ids = [f"image {i}" for i in range(20_000)]
    tenth, fifth = held_out(ids, 0.1), held_out(ids, 0.2)
    assert abs(tenth.mean() - 0.1) < 0.01 and abs(fifth.mean() - 0.2) < 0.01
    assert not (tenth & ~fifth).any()  # a larger share takes more
    assert np.array_equal(held_out(ids[::-1], 0.1), tenth[::-1])
    assert np.flatnonzero(held_out(range(60), 0.1)).tolist() == PINNED  # another set would be another view


PINNED = [0, 5, 7, 9, 14, 23, 38, 39, 56]


@pytest.mark.parametrize("name", ["debug", "debug-incremental"])
def test_fewer_tasks_and_other_orders_hold_out_the_same_images(name: str) -> None:
    whole = build_scenario(resolve(name, "er"))

    def held(scenario: Scenario) -> list[set[int | str]]:
        return [{scenario.ids[i] for i in task.test.tolist()} for task in scenario]

    view = seen_through(whole, "validation:0.3")
    for other in ("validation:0.3+first:2", "first:2+validation:0.3"):
        part = seen_through(whole, other)
        assert held(part) == held(view)[:2]
        assert [task.train.tolist() for task in part] == [task.train.tolist() for task in view[:2]]
    again = build_scenario(resolve("debug-incremental", "er", settings={"order": "random:1"}, view="validation:0.3"))
    whole_set = set.union(*held(seen_through(build_scenario(resolve("debug-incremental", "er")), "validation:0.3")))
    assert set.union(*held(again)) == whole_set


def test_a_trial_of_a_validation_view_keeps_to_its_images() -> None:
    view = validation(build_scenario(resolve("debug-incremental", "er")), 0.3)
    few = limited(view, 2)
    assert set(few.test_indices()) <= set(view.test_indices()) and set(few.train_indices()) <= set(view.train_indices())
    assert few.scored is view.scored and view.scored is not None
    assert first(view, 1).scored is view.scored and view.joined().scored is view.scored


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_a_task_without_images_is_an_error(share: float) -> None:
    with pytest.raises(UsageError, match=rf"Expected validation:{share} to leave task 1 training and test images but"):
        validation(build_scenario(resolve("debug", "er")), share)


def test_where_nothing_is_hidden_everything_is_scored() -> None:
    assert shown(build_scenario(resolve("debug", "er"))) is None
    view = build_scenario(resolve("debug-incremental", "er", view="validation:0.3", settings={"images": "exclusive"}))
    assert view.scored is None and "not scored" not in view.notes[-1]


def test_the_hash_of_the_data_holds_what_is_scored() -> None:
    view = validation(build_scenario(resolve("debug-incremental", "er")), 0.3)
    assert view.scored is not None
    other = replace(view, scored=np.ones_like(view.scored))
    assert other.manifest()["hash"] not in (view.manifest()["hash"], replace(view, scored=None).manifest()["hash"])
    with pytest.raises(ValueError, match="expected scored of shape"):
        replace(view, scored=view.scored[:1])
