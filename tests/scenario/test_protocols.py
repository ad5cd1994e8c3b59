import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from makers import Groups, grouped_labels

from clbench.arrays import LabelArray
from clbench.errors import DataError, UsageError
from clbench.randomness import generator
from clbench.scenario.protocols import (
    IMAGES,
    MISSING,
    balanced_test,
    blocks,
    class_tasks,
    disjoint,
    exclusive,
    ordered,
    overlapping,
    task_rows,
    visible,
)

label_matrices = st.tuples(st.integers(1, 40), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[LabelArray, list[list[int]]]:
    """A label matrix and disjoint groups of some of its columns."""
    labels = draw(label_matrices)
    home = draw(st.lists(st.integers(-1, 3), min_size=labels.shape[1], max_size=labels.shape[1]))
    return labels, [[c for c, group in enumerate(home) if group == g] for g in range(4)]


def only_group(row: Sequence[int], groups: list[list[int]]) -> int:
    """The definition, one image at a time."""
    shown = [g for g, columns in enumerate(groups) if any(row[c] for c in columns)]
    return shown[0] if len(shown) == 1 else -1


def test_exclusive_by_hand() -> None:
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]], np.uint8)
    # columns 0 and 1 are one group, column 2 another, column 3 none
    assert exclusive(labels, [(0, 1), (2,)]).tolist() == [0, 0, -1, -1, -1, 1]
    assert exclusive(labels, []).tolist() == [-1] * 6


@given(grouped())
@settings(deadline=None)
def test_exclusive_is_its_definition(case: tuple[LabelArray, list[list[int]]]) -> None:
    labels, groups = case
    found = exclusive(labels, groups)
    assert found.dtype == np.int64
    assert found.tolist() == [only_group(row, groups) for row in labels.tolist()]


@given(grouped())
@settings(deadline=None)
def test_exclusive_tasks_have_their_own_classes_and_images(case: tuple[LabelArray, list[list[int]]]) -> None:
    labels, groups = case
    inside = np.zeros_like(labels)
    for columns in groups:
        inside[:, columns] = labels[:, columns]
    home = exclusive(labels, groups)
    rows = {str(g): np.flatnonzero(home == g) for g in range(len(groups))}
    found = class_tasks(inside, rows, [f"class {c}" for c in range(labels.shape[1])])
    for g, columns in enumerate(groups):
        assert set(found[str(g)]) <= set(columns)  # so no class is in two tasks
        assert inside[rows[str(g)]][:, columns].any(axis=1).all()  # a positive of its own task in every image


def test_class_tasks_by_hand() -> None:
    labels = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.uint8)
    rows = {"0": np.array([0, 1]), "3": np.array([2]), "1": np.array([], np.int64)}
    assert class_tasks(labels, rows, ["a", "b", "c", "d"]) == {"0": (0, 1), "3": (2,), "1": ()}


def test_class_tasks_names_every_clash() -> None:
    labels = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1]], np.uint8)
    rows = {"0": np.array([0]), "3": np.array([1]), "1": np.array([2])}
    said = "'dog' in task 1, task 2 (named 3); 'cat' in task 1, task 2 (named 3), task 3 (named 1); check"
    with pytest.raises(DataError, match=re.escape(f"2 of 3 have images in several tasks: {said}")):
        class_tasks(labels, rows, ["horse", "dog", "cat"])


def test_class_tasks_names_a_few_of_many_clashes() -> None:
    rows = {"0": np.array([0]), "1": np.array([1])}
    with pytest.raises(DataError, match="7 of 7 .* 'e' in task 1, task 2 and 2 more; check"):
        class_tasks(np.ones((2, 7), np.uint8), rows, "abcdefg")


def reference(labels: LabelArray, order: Sequence[int], per_class: int) -> list[int]:
    """The greedy rule of the docstring with Python's lists."""
    counts = [sum(int(labels[row, c]) for row in order) for c in range(labels.shape[1])]
    taken: list[int] = []
    for column in sorted(range(labels.shape[1]), key=lambda c: (counts[c], c)):
        wanted = min(per_class, counts[column] // 2)
        for row in order:
            if sum(int(labels[t, column]) for t in taken) >= wanted:
                break
            if labels[row, column] and row not in taken:
                taken.append(row)
    return sorted(taken)


@given(label_matrices, st.integers(1, 6), st.integers(0, 5), st.data())
@settings(deadline=None)
def test_balanced_test_is_its_rule(labels: LabelArray, per_class: int, seed: int, data: st.DataObject) -> None:
    candidates = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True)), np.int64)
    found = balanced_test(labels, candidates, per_class, generator(seed, "test"))
    order = generator(seed, "test").permutation(np.sort(candidates)).tolist()
    assert found.dtype == np.int64
    assert found.tolist() == reference(labels, order, per_class)


@given(label_matrices, st.integers(1, 6), st.integers(0, 5))
@settings(deadline=None)
def test_balanced_test_is_a_subset_that_depends_on_the_generator_alone(
    labels: LabelArray, per_class: int, seed: int
) -> None:
    candidates = np.arange(len(labels))
    test = balanced_test(labels, candidates, per_class, generator(seed, "test"))
    train = np.setdiff1d(candidates, test)
    assert sorted([*train.tolist(), *test.tolist()]) == candidates.tolist()
    assert labels[test].any(axis=1).all()
    wanted = np.minimum(per_class, labels.sum(axis=0) // 2)
    assert (labels[test].sum(axis=0) >= wanted).all()
    shuffled = generator(9, "shuffle").permutation(candidates)
    assert balanced_test(labels, shuffled, per_class, generator(seed, "test")).tolist() == test.tolist()


def test_balanced_test_is_exact_without_co_occurrence() -> None:
    labels = np.repeat(np.eye(3, dtype=np.uint8), [200, 30, 1], axis=0)
    test = balanced_test(labels, np.arange(231), 50, generator(0, "test"))
    assert labels[test].sum(axis=0).tolist() == [50, 15, 0]  # at most half of a class, so one image stays in training


def test_an_image_counts_for_every_label_it_has() -> None:
    # the rare class 1 comes first and takes 2 of the images that show both; class 0 then lacks only one
    labels = np.array([[1, 1]] * 4 + [[1, 0]] * 6, np.uint8)
    test = balanced_test(labels, np.arange(10), 3, generator(0, "test"))
    assert labels[test].sum(axis=0).tolist() == [3, 2]


def test_another_generator_draws_another_test_set() -> None:
    labels = np.ones((100, 1), np.uint8)
    one, other = (balanced_test(labels, np.arange(100), 20, generator(seed, "test")) for seed in (0, 1))
    assert one.tolist() != other.tolist()


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


@given(grouped_labels())
@settings(deadline=None)
def test_an_image_enters_every_task_that_it_shows(case: tuple[LabelArray, Groups]) -> None:
    labels, groups = case
    rows = overlapping(labels, groups)
    for row, each in enumerate(labels.tolist()):
        assert [row in found for found in rows] == [any(each[c] for c in columns) for columns in groups]


@given(grouped_labels(), st.integers(0, 3))
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


@given(grouped_labels(), st.sampled_from(IMAGES), st.sampled_from(MISSING))
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
