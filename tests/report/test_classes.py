from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench.report.classes import by_name, class_counts, class_names, stored
from clbench.report.rows import Row, collect
from clbench.store.folder import find_runs

Make = Callable[..., None]
COUNTS = [5, 9, 2, 4]
"""Training images of the columns, as the made runs have them."""


@pytest.fixture
def drawn(store: Path, make: Make) -> Row:
    """Columns a, b, c, d; b, c, d, a; and c, d, a, b."""
    for seed in range(3):
        make("er", seed, drawn="d" * 64, stored=[[3, 1, 0, 0], [2, 1, 0, seed]])
    [row] = collect(find_runs(store))
    return row


def test_values_are_matched_by_name(drawn: Row) -> None:
    assert ["".join(class_names(run)) for run in drawn.done] == ["abcd", "bcda", "cdab"]
    second = drawn.done[1]
    assert by_name(second, [1, 2, 3, 4], list("abcd")).tolist() == [4, 1, 2, 3]
    assert np.isnan(by_name(second, [None, 2, 3, 4], list("abcd"))).tolist() == [False, True, False, False]
    assert by_name(second, [[1, 2, 3, 4]] * 2, list("dc")).tolist() == [[3, 2], [3, 2]]


def test_images_of_a_class_are_a_mean_over_seeds_where_tasks_are_drawn(drawn: Row) -> None:
    counts, what = class_counts(drawn, list("abcd"))
    by_hand = [np.mean([COUNTS[class_names(run).index(name)] for run in drawn.done]) for name in "abcd"]
    assert counts == np.rint(by_hand).tolist() and what == "training images that have it, mean over seeds"


def test_they_are_counted_once_where_all_seeds_have_the_same(store: Path, make: Make) -> None:
    make("er", 0)
    [row] = collect(find_runs(store))
    assert class_counts(row, list("dcba")) == (COUNTS[::-1], "training images that have it")
    for run in row.done:
        del run.env["manifest"]["train_positives"]  # as in run folders of before
    assert class_counts(row, list("abcd")) == (row.done[0].metrics["positives"], "test images that have it")


def test_what_a_memory_holds_is_matched_by_name(drawn: Row) -> None:
    after = [found[-1].tolist() for found in stored(drawn, list("abcd"))]
    assert after == [[2, 1, 0, 0], [1, 2, 1, 0], [0, 2, 2, 1]]


def test_one_run_without_a_record_of_its_memory_leaves_none(store: Path, make: Make) -> None:
    make("er", 0, stored=[[3, 1, 0, 0], [2, 1, 0, 0]])
    make("er", 1)
    [row] = collect(find_runs(store))
    assert stored(row, list("abcd")) == []
