from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report.remarks import class_orders, expected_seeds, letter, marked, remarks
from clbench.report.rows import Row, collect
from clbench.store.folder import DIVERGED, FAILED, RUNNING, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "a"), (25, "z"), (26, "aa"), (27, "ab"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")],
)
def test_letters_go_on_as_columns_of_a_spreadsheet_do(number: int, expected: str) -> None:
    assert letter(number) == expected


def test_the_seeds_that_a_row_should_have_are_those_of_any_row_done_or_not(store: Path, make: Make) -> None:
    make("er", 3)
    make("lwf", 0, FAILED)
    make("lwf", 3)
    assert expected_seeds(rows(store)) == [0, 3]
    assert expected_seeds([]) == []


def test_a_row_that_is_whole_has_no_remark(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1)
    make("lwf", 0, freeze="none")
    make("lwf", 1)
    assert [remarks(row, [0, 1]) for row in rows(store)] == [[], []]
    assert marked(rows(store)) == (("", ""), ())


def test_all_that_can_be_wrong_with_a_row_in_its_order(store: Path, make: Make) -> None:
    make("er", 0, DIVERGED, reason="loss was nan", view="limited:3", freeze="backbone", leak="it saw them.")
    make("er", 2, RUNNING, view="limited:3", freeze="backbone", leak="it saw them.")
    [row] = rows(store)
    assert remarks(row, [0, 1, 2, 7]) == [
        "seed 0: diverged: loss was nan",
        "seed 2: running",
        "fewer seeds: 1, 7 not run",
        "only limited:3 of the scenario was seen: no result",
        "frozen backbone: only the head was trained",
        "leaked weights: it saw them",
    ]


def test_a_validation_view_is_for_choosing(store: Path, make: Make) -> None:
    make("er", 0, view="first:2+validation:0.1")
    [row] = rows(store)
    [remark] = remarks(row, [0])
    assert remark == "scored on training images that were held out (first:2+validation:0.1): for choosing, no result"


def test_one_remark_on_two_rows_is_one_footnote(store: Path, make: Make) -> None:
    make("er", 0, FAILED, reason="no memory")
    make("ewc", 0, freeze="backbone")
    make("lwf", 0, FAILED, reason="no memory", freeze="backbone")
    assert marked(rows(store)) == (
        ("a", "b", "a,b"),
        (
            "[a] er, lwf: seed 0: failed: no memory.",
            "[b] ewc, lwf: frozen backbone: only the head was trained.",
        ),
    )


def test_letters_stand_in_the_order_of_the_footnotes_not_of_the_row(store: Path, make: Make) -> None:
    make("er", 0, freeze="backbone")
    make("lwf", 0, FAILED, reason="no memory", freeze="backbone")
    assert marked(rows(store))[0] == ("a", "a,b")  # though the row's own first remark is the failure


def test_class_orders_are_spoken_of_where_seeds_draw_them(store: Path, make: Make) -> None:
    make("er", 0, drawn="d" * 64)
    make("lwf", 0)
    drawn, plain = collect(find_runs(store))
    assert len(class_orders([drawn])) == 1 and class_orders([plain]) == ()
