from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report.names import first_column, in_words
from clbench.report.rows import Row, collect
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_head_and_memory_are_no_words_of_the_first_column(store: Path, make: Make) -> None:
    make("er", 0, memory="reservoir")
    make("er", 0, memory="reservoir", head="dlfl", changed={"head": "dlfl"})
    make("er", 0, memory="prs", changed={"memory": "prs", "lr": 0.5})
    assert first_column(rows(store)) == ["er", "er", "er (lr=0.5)"]
    assert [row.label for row in rows(store)] == ["er", "er (head=dlfl)", "er (memory=prs, lr=0.5)"]


def test_in_words_head_and_memory_stand_only_where_they_tell_rows_apart(store: Path, make: Make) -> None:
    make("dlfl", 0, head="dlfl", memory="prs")
    make("dlfl", 0, head="dlfl", memory="reservoir", changed={"memory": "reservoir"})
    make("er", 0, memory="reservoir")
    make("er", 0, head="dlfl", memory="reservoir", changed={"head": "dlfl"})
    make("ewc", 0)
    make("lwf", 0)
    make("lwf", 0, head="dlfl", memory="prs", changed={"head": "dlfl", "memory": "prs"})
    assert in_words(rows(store)) == [
        *("dlfl/prs", "dlfl/reservoir", "er/linear", "er/dlfl"),
        *("ewc", "lwf/linear/none", "lwf/dlfl/prs"),
    ]


def test_options_follow_the_parts(store: Path, make: Make) -> None:
    make("er", 0, memory="prs", changed={"memory": "prs", "lr": 0.5})
    make("er", 0, memory="reservoir", changed={"lr": 0.5})
    assert sorted(in_words(rows(store))) == ["er/prs (lr=0.5)", "er/reservoir (lr=0.5)"]


def test_rows_alike_in_all_that_is_shown_have_their_hash(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, epochs=5)
    make("er", 0, head="dlfl", changed={"head": "dlfl"})
    first, other, last = sorted(first_column(rows(store)), reverse=True)
    assert (first, other, last) == ("er 0005aaaa0000", "er 0001aaaa0000", "er")
    assert set(in_words(rows(store))) == {"er/linear 0005aaaa0000", "er/linear 0001aaaa0000", "er/dlfl"}


@pytest.mark.parametrize("names", [first_column, in_words])
def test_no_rows_have_no_names(names: Callable[[list[Row]], list[str]]) -> None:
    assert names([]) == []
