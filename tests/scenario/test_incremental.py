"""The class-incremental axes: blocks, order, which images enter a task, what is shown, what replayed images say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clbench.arrays import LabelArray
from clbench.errors import UsageError
from clbench.scenario.protocols import (
    IMAGES,
    MISSING,
    REPLAY_LABELS,
    blocks,
    disjoint,
    ordered,
    overlapping,
    task_rows,
    visible,
)
from clbench.scenario.samples import ReplayLabels, Samples

Groups = tuple[tuple[int, ...], ...]


@st.composite
def cases(draw: st.DrawFn) -> tuple[LabelArray, Groups]:
    """A label matrix and its columns cut into tasks, one after another."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    labels = draw(arrays(np.uint8, (draw(st.integers(1, 30)), sum(sizes)), elements=st.integers(0, 1)))
    ends = np.cumsum([0, *sizes])
    return labels, tuple(tuple(range(a, b)) for a, b in zip(ends[:-1], ends[1:], strict=True))


@pytest.mark.parametrize(
    "classes, base, step, sizes",
    [
        (80, 0, 10, [10] * 8),
        (80, 40, 10, [40] + [10] * 4),
        (80, 20, 4, [20] + [4] * 15),
        (80, 0, 5, [5] * 16),
        (20, 0, 4, [4] * 5),
        (20, 10, 2, [10] + [2] * 5),
        (20, 5, 3, [5] + [3] * 5),
        (20, 4, 2, [4] + [2] * 8),
        (81, 41, 5, [41] + [5] * 8),
        (4, 4, 2, [4]),
    ],
)
def test_blocks_of_the_papers(classes: int, base: int, step: int, sizes: list[int]) -> None:
    found = blocks(classes, base, step)
    assert [len(columns) for columns in found] == sizes
    assert [c for columns in found for c in columns] == list(range(classes))


@pytest.mark.parametrize("base, step", [(0, 7), (41, 10), (0, 0), (81, 1), (-1, 5), (30, 0)])
def test_blocks_that_do_not_divide(base: int, step: int) -> None:
    with pytest.raises(UsageError, match=f"divide 80 classes evenly but got base {base} and step {step}"):
        blocks(80, base, step)


def test_the_sentence_says_what_would_divide() -> None:
    assert blocks(3, 0, 1) == blocks(3, 1, 1) == ((0,), (1,), (2,))
    for base, step, rest in ((40, 7, 40), (0, 7, 80), (80, 0, 80), (-1, 5, 80), (1, 7, 79)):
        with pytest.raises(UsageError, match=f"choose a step that divides {rest}\\."):
            blocks(80, base, step)


def test_order() -> None:
    names = ("b", "c", "a", "B")
    assert ordered(names, "alphabetical") == ("B", "a", "b", "c")
    assert ordered(names, "c, B,a ,b") == ("c", "B", "a", "b")
    drawn = ordered(names, "random:3")
    assert sorted(drawn) == sorted(names)
    assert drawn == ordered(names[::-1], "random:3")  # depends on the seed alone
    assert len({ordered(names, f"random:{seed}") for seed in range(20)}) > 5
    assert ordered("abcdef", "random:3") == tuple("bcfeda")  # pinned: results must stay comparable


@pytest.mark.parametrize(
    "order, sentence",
    [
        ("alphabetic", "Unknown class 'alphabetic'"),
        ("a,b", "each of 3 classes once but got 2 names"),
        ("a,b,b", "each of 3 classes once"),
        ("random:", "Unknown class 'random:'"),
        ("a,b,d", "Unknown class 'd'"),
    ],
)
def test_a_bad_order(order: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ordered(("a", "b", "c"), order)


@given(cases())
@settings(deadline=None)
def test_an_image_enters_every_task_that_it_shows(case: tuple[LabelArray, Groups]) -> None:
    labels, groups = case
    rows = overlapping(labels, groups)
    for row, each in enumerate(labels.tolist()):
        assert [row in found for found in rows] == [any(each[c] for c in columns) for columns in groups]


@given(cases(), st.integers(0, 3))
@settings(deadline=None)
def test_a_disjoint_image_enters_one_of_its_tasks(case: tuple[LabelArray, Groups], seed: int) -> None:
    labels, groups = case
    rows = disjoint(labels, groups, seed)
    every = np.concatenate(rows)
    assert sorted(every.tolist()) == np.flatnonzero(labels.any(axis=1)).tolist()  # each once: the union is what went in
    for found, columns in zip(rows, groups, strict=True):
        assert labels[found][:, columns].any(axis=1).all()
    again = disjoint(labels, groups, seed)
    assert all(np.array_equal(a, b) for a, b in zip(rows, again, strict=True))


def test_which_task_an_image_enters_is_pinned() -> None:
    labels, groups = np.ones((8, 3), np.uint8), ((0,), (1,), (2,))
    assert [rows.tolist() for rows in disjoint(labels, groups, 0)] == [[0, 4, 5, 6, 7], [1], [2, 3]]
    assert [rows.tolist() for rows in disjoint(labels, groups, 1)] == [[1], [3, 4, 6], [0, 2, 5, 7]]


def test_rows_follow_the_axis() -> None:
    labels, groups = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.uint8), ((0,), (1,))
    found = {axis: [rows.tolist() for rows in task_rows(labels, groups, axis, 7)] for axis in IMAGES}
    assert found["overlapping"] == [[0, 1], [1, 2]] and found["exclusive"] == [[0], [2]]
    assert found["disjoint"] == [rows.tolist() for rows in disjoint(labels, groups, 7)]
    assert sorted(sum(found["disjoint"], [])) == [0, 1, 2]
    many = np.ones((99, 2), np.uint8)
    assert not np.array_equal(task_rows(many, groups, "disjoint", 7)[0], task_rows(many, groups, "disjoint", 8)[0])


def test_disjoint_images_are_drawn_evenly() -> None:
    labels = np.ones((3000, 3), np.uint8)
    sizes = [len(rows) for rows in disjoint(labels, ((0,), (1,), (2,)), 0)]
    assert all(abs(size - 1000) < 100 for size in sizes)  # 4 standard deviations
    labels[:, 1] = 0
    sizes = [len(rows) for rows in disjoint(labels, ((0,), (1,), (2,)), 0)]
    assert sizes[1] == 0 and abs(sizes[0] - 1500) < 110


@given(cases(), st.sampled_from(IMAGES), st.sampled_from(MISSING))
@settings(deadline=None)
def test_a_task_shows_its_own_labels_and_nothing_of_what_is_to_come(
    case: tuple[LabelArray, Groups], images: str, missing: str
) -> None:
    labels, groups = case
    for task, rows in enumerate(task_rows(labels, groups, images)):
        shown, known = visible(labels[rows], groups, task, missing)
        for place, row in enumerate(rows):
            assert any(labels[row, c] for c in groups[task])
            for column in range(labels.shape[1]):
                own = column in groups[task]
                older = column < groups[task][0]
                assert shown[place, column] == (labels[row, column] if own else 0)
                assert known[place, column] == (own or (older and missing == "negative"))


def reference(
    truth: list[int], home: int, now: int, groups: Groups, missing: str, policy: str
) -> tuple[list[int], list[bool]]:
    """What a sample stored in task `home` says in task `now`, from the definitions, one column at a time."""
    labels, known = [], []
    for column, true in enumerate(truth):
        task = next(t for t, columns in enumerate(groups) if column in columns)
        own = task == home
        opened = policy == "full" and task <= now or policy == "forward" and home <= task <= now
        labels.append(true if own or opened else 0)
        known.append(own or opened or (missing == "negative" and task <= now))
    return labels, known


@given(cases(), st.sampled_from(MISSING), st.sampled_from(REPLAY_LABELS), st.data())
@settings(deadline=None)
def test_replayed_labels_are_their_definition(
    case: tuple[LabelArray, Groups], missing: str, policy: str, data: st.DataObject
) -> None:
    labels, groups = case
    now = data.draw(st.integers(0, len(groups) - 1))
    replay = ReplayLabels(labels, groups, missing, policy)
    home = data.draw(st.integers(0, now))
    rows = np.arange(len(labels))
    stored = Samples(rows, *visible(labels, groups, home, missing))
    seen = groups[now][-1] + 1
    found = replay.revealed([rows] * (now + 1))(stored.cut(seen))
    for row in rows:
        says, knows = reference(labels[row].tolist(), home, now, groups, missing, policy)
        assert (found.labels[row].tolist(), found.known[row].tolist()) == (says[:seen], knows[:seen])
        assert not any(says[seen:]) and not any(knows[seen:])
    before = visible(labels, groups, home, missing)
    assert np.array_equal(stored.labels, before[0]) and np.array_equal(stored.known, before[1])  # left as it was


def test_replayed_labels_by_hand() -> None:
    truth: Any = np.array([[1, 1, 1, 1]], np.uint8)
    groups = ((0,), (1,), (2,), (3,))
    stored = Samples(np.array([0]), *visible(truth, groups, 1, "masked")).cut(3)
    none, only = np.zeros(0, np.int64), np.array([0])
    found = {
        policy: ReplayLabels(truth, groups, "masked", policy).revealed([none, only, none]) for policy in REPLAY_LABELS
    }
    said = {policy: replay(stored).labels.tolist()[0] for policy, replay in found.items()}
    assert said == {"frozen": [0, 1, 0], "forward": [0, 1, 1], "full": [1, 1, 1]}
    known = {policy: replay(stored).known.tolist()[0] for policy, replay in found.items()}
    assert known == {
        "frozen": [False, True, False],
        "forward": [False, True, True],
        "full": [True, True, True],
    }
    # of the truth each has what it may show, and no more
    assert {policy: replay.truth.tolist() for policy, replay in found.items()} == {
        "frozen": [[0, 0, 0]],
        "forward": [[0, 1, 1]],
        "full": [[1, 1, 1]],
    }
