from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.report.notes import footnotes
from clbench.report.remarks import class_orders, expected_seeds, few_seeds, letter, marked, remarks, unlike_papers
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


def test_a_run_that_another_library_trained_says_so(store: Path, make: Make) -> None:
    make("mine", 0, trained_by="a-library 1.0")
    [row] = rows(store)
    assert remarks(row, [0]) == ["trained by a-library 1.0, scored by clbench"]


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


PAPER = {
    "name": "A (B 2020)",
    "settings": {"model.head": ["linear"], "train.epochs": ["one", 1]},
    "beyond": [],
}


def test_a_table_without_a_paper_or_wholly_as_there_has_no_note(store: Path, make: Make) -> None:
    make("er", 0)
    assert unlike_papers(rows(store)) == ()
    make("lwf", 0, paper=PAPER)
    assert unlike_papers(rows(store)) == ()


def test_what_all_rows_have_otherwise_is_said_once_and_what_some_have_with_them(store: Path, make: Make) -> None:
    paper = PAPER | {"settings": {**PAPER["settings"], "model.head": ["dlfl"]}}  # type: ignore[dict-item]
    make("er", 0, paper=paper)
    make("er", 0, epochs=3, changed={"epochs": 3}, paper=paper)
    make("lwf", 0)  # of before there was the record
    assert unlike_papers(rows(store)) == (
        "Not as in A (B 2020): head=linear (there: dlfl); epochs=3 (there: one) in er (epochs=3).",
    )
    first = next(row for row in rows(store) if row.changed)
    assert first.as_json()["unlike_paper"] == {"model.head": ["linear", "dlfl"], "train.epochs": [3, "one"]}


def test_what_only_the_paper_has_is_always_said(store: Path, make: Make) -> None:
    make("er", 0, paper=PAPER | {"beyond": ["flips", "EMA"]})
    assert unlike_papers(rows(store)) == ("Not as in A (B 2020): without flips, EMA.",)


def test_of_a_weights_file_only_its_name_is_said(store: Path, make: Make) -> None:
    weights = PAPER | {"settings": {"model.weights": ["imagenet"]}}
    make(
        "er", 0, paper=weights, model={"weights": "/home/me/mine.safetensors"}, changed={"weights": "mine.safetensors"}
    )
    [note] = unlike_papers(rows(store))
    assert note == "Not as in A (B 2020): weights=mine.safetensors (there: imagenet)."


@pytest.mark.slow
def test_real_runs_have_the_note_under_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clbench: Callable[..., tuple[int, str, str]]
) -> None:
    from clbench import run
    from clbench.scenario.paper import Paper
    from scenarios._debug import Debug

    settings: dict[str, dict[str, Any]] = {
        "model": {"weights": "imagenet"},
        "train": {"lr": 1e-3},
        "memory": {"size": "5"},
    }
    monkeypatch.setattr(Debug, "paper", lambda self: Paper("A (B 2020)", settings, beyond=("flips",)))
    run("debug", "er", out=tmp_path)
    run("debug", "er", settings={"lr": 0.01, "size": 3}, out=tmp_path)
    run("debug", "finetune", out=tmp_path)
    other = "er (size=3, lr=0.01)"
    note = (
        f"Not as in A (B 2020): weights=none (there: imagenet); lr=0.01 (there: 0.001) in {other}; "
        f"size=3 (there: 5) in {other}; without flips."
    )
    for command in (("report", "--format", "markdown"), ("report", "--format", "html"), ("compare",)):
        code, out, _ = clbench(*command, "--runs", str(tmp_path))
        assert code == 0 and " ".join(out.split()).count(note) == 1, command


def test_rows_of_which_some_were_tuned_say_so(store: Path, make: Make) -> None:
    recipe = {"trials": 20, "seconds": 30.0, "view": "validation:0.1"}
    make("er", 0, recipe=recipe)
    assert marked(rows(store)) == (("",), ())
    make("ewc", 0, recipe=recipe)
    assert marked(rows(store)) == (("", ""), ())
    assert "Options of each row: the best of 20 trials on validation:0.1, by its recipe." in footnotes(rows(store))
    make("lwf", 0)
    assert not any(note.startswith("Options of each row") for note in footnotes(rows(store)))
    assert marked(rows(store)) == (
        ("a", "a", "b"),
        ("[a] er, ewc: options chosen in 20 trials on validation:0.1.", "[b] lwf: not tuned, as other rows are."),
    )


def test_budgets_that_differ_are_said(store: Path, make: Make) -> None:
    for strategy, trials in (("er", 20), ("ewc", 40)):
        make(strategy, 0, recipe={"trials": trials, "seconds": 30.0, "view": "validation:0.1"})
    assert marked(rows(store))[0] == ("a", "b")


def test_class_orders_are_spoken_of_where_seeds_draw_them(store: Path, make: Make) -> None:
    make("er", 0, drawn="d" * 64)
    make("lwf", 0)
    drawn, plain = collect(find_runs(store))
    assert len(class_orders([drawn])) == 1 and class_orders([plain]) == ()


def test_rows_with_too_few_seeds_for_an_interval_are_named_where_there_are_intervals(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    make("lwf", 0)
    make("ewc", 0)
    make("finetune", 0, FAILED, reason="it broke")
    found = collect(find_runs(store))
    assert few_seeds(found, False) == () and few_seeds([row for row in found if len(row.done) == 3], True) == ()
    assert few_seeds(found, True) == ("95 %: an interval takes 3 seeds, which ewc, lwf have not.",)
