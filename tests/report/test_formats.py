import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.report import formats
from clbench.report.html import html
from clbench.report.latex import latex
from clbench.report.rows import Row, collect
from clbench.report.tables import Table, build_tables
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_long_labels_are_wrapped_to_the_width_of_a_terminal(store: Path, make: Make) -> None:
    changed = {"head": "dlfl", "backbone": "resnet18", "memory": "reservoir", "lr": 0.001}
    for seed in range(2):
        make("er", seed, changed=changed)
    text = formats.text(build_tables(rows(store)))
    assert max(map(len, text.splitlines())) <= formats.WIDTH


def test_csv_and_json_hold_the_fractions_of_the_files(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1)
    values = [run.metrics["final"]["mAP"] for run in find_runs(store)]
    [read] = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert float(read["mAP"]) == pytest.approx(np.mean(values)) and read["n"] == "2"
    document = json.loads(formats.as_json(rows(store)))
    assert document["schema"] == 1
    [row] = document["rows"]
    assert row["metrics"]["mAP"]["mean"] == pytest.approx(np.mean(values))
    assert set(row["groups"]) == {"majority", "minority"} and row["cost"]["train_seconds"]["mean"] == 4.0
    for name in ("mAP", "CF1", "OF1", "CF1_mean", "average_mAP"):
        assert set(row["metrics"][name]) == {"mean", "sd", "ci95", "n"}
    for name in ("mAP", "CF1", "OF1"):
        assert {f"forgetting_{name}", f"forgetting_{name}_relative"} <= set(row["metrics"])


def test_markdown_is_a_table_with_its_notes(store: Path, make: Make) -> None:
    make("er", 0)
    text = formats.markdown(build_tables(rows(store)))
    conclusion = "By mAP there is nothing to conclude: fewer than two rows compete."
    title = "**made (2 tasks, 4 classes): mAP after the last task, %**"
    assert text.startswith(f"{title}\n\n{conclusion}\n\n| strategy")
    assert "\n- Protocol: images: exclusive." in text


def test_a_label_breaks_no_markdown(store: Path, make: Make) -> None:
    make("er", 0, changed={"note": "a|b\n<img src=x>"})
    make("lwf", 0, FAILED, reason="first\n\n# second <script>")
    text = formats.markdown(build_tables(rows(store)))
    assert r"| er (note=a\|b \<img src=x>)" in text
    assert r"lwf: seed 0: failed: first # second \<script>." in text


def test_no_text_of_a_run_is_obeyed(store: Path, make: Make) -> None:
    """Neither by a terminal, nor by what shows Markdown, nor by a spreadsheet."""
    make("er", 0, changed={"note": "\x1b[2J\u202e", "x": r"\<img src=x>", "y": "[a](http://x)"})
    make("=1+2", 0)
    make("lwf", 0, FAILED, reason="\x1b]0;title\x07")
    found = build_tables(rows(store))
    every = {"text": formats.text(found), "markdown": formats.markdown(found), "csv": formats.as_csv(rows(store))}
    every |= {"latex": latex(rows(store)), "html": html(rows(store), drawn=[[]])}
    for name, text in every.items():
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text), name
    assert r"\x1b[2J\u202e" in every["text"] and r"\x1b]0;title\x07" in every["text"]
    assert r"&#92;\<img src=x>" in every["markdown"] and r"[a]\(http://x)" in every["markdown"]
    title = Table(r"\<b> | made", ("a",), (("b",),))
    assert formats.markdown([title]).startswith(r"**&#92;\<b> \| made**")
    assert [line.split(",")[1] for line in every["csv"].splitlines()[1:]].count("'=1+2") == 1


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1", "'=1"), ("@x", "'@x"), ("+x", "'+x"), ("-x", "'-x"), ("-1.5", "-1.5"), ("a=1", "a=1"), (-1.5, -1.5)],
)
def test_a_cell_is_no_formula(cell: object, written: object) -> None:
    assert formats._as_cell(cell) == written


TABLE = Table(
    "made, %",
    ("strategy", "n", "mAP"),
    (("er", "3", "50.0±1.0"), ("lwf | <b>", "2/3", "9.5")),
    ("mean±sd over n seeds", f"[a] er: {'seed 0: failed: no memory ' * 3}on it."),
    ("a", ""),
)
APART = Table(
    "made, %",
    ("strategy", "head", "memory", "n", "mAP"),
    (("lwf", "dlfl", "–", "3", "50.0"), ("er", "linear", "prs", "3", "9.5"), ("joint", "linear", "–", "3", "99.0")),
    lead=f"By mAP lwf beats er{' and er' * 10} (n = 3).",
    names=3,
    bounds=1,
)
BARE = Table("bare", ("", "x"), (("y", "1"),))


def test_plain_text_by_hand() -> None:
    assert formats.text([TABLE, BARE]) == (
        "made, %\n"
        "strategy     n       mAP\n"
        "---------  ---  --------\n"
        "er [a]       3  50.0±1.0\n"
        "lwf | <b>  2/3       9.5\n"
        "mean±sd over n seeds\n"
        "[a] er: seed 0: failed: no memory seed 0: failed: no memory seed 0: failed: no\n"
        "  memory on it.\n"
        "\n"
        "bare\n"
        "   x\n"
        "-  -\n"
        "y  1"
    )


def test_bounds_stand_below_a_rule_and_the_conclusion_above_all() -> None:
    assert formats.text([APART]).splitlines() == [
        "made, %",
        "By mAP lwf beats er and er and er and er and er and er and er and er and er and",
        "er and er (n = 3).",
        "strategy  head    memory  n   mAP",
        "--------  ------  ------  -  ----",
        "lwf       dlfl    –       3  50.0",
        "er        linear  prs     3   9.5",
        "--------  ------  ------  -  ----",
        "joint     linear  –       3  99.0",
    ]
    assert formats.text([replace(APART, bounds=3)]).count("--------") == 1  # nothing is above them
    assert formats.markdown([APART]).splitlines()[2:] == [
        APART.lead,
        "",
        "| strategy   | head   | memory   |   n |   mAP |",
        "|------------|--------|----------|-----|-------|",
        "| lwf        | dlfl   | –        |   3 |  50.0 |",
        "| er         | linear | prs      |   3 |   9.5 |",
        "| *bounds*   |        |          |     |       |",
        "| joint      | linear | –        |   3 |  99.0 |",
    ]


def test_columns_that_have_no_room_stand_in_a_block_below() -> None:
    """80 letters: 16 + 2 + 6 + 2 + 3 for the names, 2 + 24 for each column."""
    cells = (("er", "linear", "prs", *("a" * 24, "b" * 25, "c" * 51)), ("joint", "linear", "–", "a", "b", "c"))
    table = Table("", ("strategy", "head", "mem", "1", "2", "3"), cells, names=3, bounds=1)
    rule = "--------  ------  ---  "
    assert formats.text([table]).splitlines()[1:] == [
        f"strategy  head    mem  {'1':>24}  {'2':>25}",
        f"{rule}{'-' * 24}  {'-' * 25}",
        f"er        linear  prs  {'a' * 24}  {'b' * 25}",
        f"{rule}{'-' * 24}  {'-' * 25}",
        f"joint     linear  –    {'a':>24}  {'b':>25}",
        "",
        f"strategy  head    mem  {'3':>51}",
        rule + "-" * 51,
        "er        linear  prs  " + "c" * 51,
        rule + "-" * 51,
        f"joint     linear  –    {'c':>51}",
    ]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(0, 60))
def test_a_table_of_rows_fits_a_terminal_as_far_as_its_words_do(widths: list[int], label: int) -> None:
    names = ("er " + "(x) " * (label // 4), "linear", "reservoir")
    columns = tuple("9" * min(width, 43) for width in widths)  # 16 + 2 + 6 + 2 + 9 + 2 + 43 = 80
    text = formats.text([Table("", ("strategy", "head", "memory", *columns), ((*names, *columns),), names=3)])
    assert max(map(len, text.splitlines())) <= formats.WIDTH
    assert sorted(re.findall("9+", text)) == sorted(columns * 2)  # every heading and every cell once


@pytest.mark.parametrize(("letters", "lines"), [(60, 1), (61, 2)])
def test_a_label_is_wrapped_where_the_table_would_be_wider_than_80(letters: int, lines: int) -> None:
    label = "x" * (letters - 2) + " y"
    text = formats.text([Table("", ("strategy", "n", "mAP"), ((label, "3", "0" * 15),))]).splitlines()  # 2 + 1 + 2 + 15
    assert [line.split()[0] for line in text[3:]] == ["x" * (letters - 2), "y"][:lines]
    assert max(map(len, text)) == 80


def test_a_label_keeps_16_letters_however_wide_the_rest_is() -> None:
    text = formats.text([Table("", ("strategy", "mAP"), (("er (lr=0.5, x=10) y", "0" * 90),))]).splitlines()
    assert text[2:] == ["-" * 16 + "  " + "-" * 90, "er (lr=0.5,       " + "0" * 90, "x=10) y"]


def test_markdown_by_hand() -> None:
    note = "[a] er: " + "seed 0: failed: no memory " * 3 + "on it."
    assert formats.markdown([TABLE, BARE]).split("\n") == [
        "**made, %**",
        "",
        r"| strategy    |   n |      mAP |",
        r"|-------------|-----|----------|",
        r"| er [a]      |   3 | 50.0±1.0 |",
        r"| lwf \| \<b> | 2/3 |      9.5 |",
        "",
        "- mean±sd over n seeds",
        f"- {note}",
        "",
        "**bare**",
        "",
        "|    |   x |",
        "|----|-----|",
        "| y  |   1 |",
    ]


def test_a_run_is_a_line_of_the_summary_and_one_that_is_not_done_is_none(store: Path, make: Make) -> None:
    make("er", 0, changed={"lr": 0.5}, memory="reservoir")
    make("er", 1, FAILED, changed={"lr": 0.5}, memory="reservoir")
    make("joint", 3, joint=True)
    runs = list(find_runs(store))
    for run, mean in zip((runs[0], runs[2]), (0.5, 0.125), strict=True):
        run.metrics["final"] |= {"mAP": mean, "average_mAP": 0.75, "CF1": 1.0, "OF1": 0.0, "forgetting_mAP": -0.25}
    runs[2].metrics["final"] |= {"average_mAP": None, "forgetting_mAP": None}
    assert formats.summary(runs).splitlines() == [
        "strategy     head    memory     seed  mAP %  avg mAP    CF1  OF1  forg.",
        "-----------  ------  ---------  ----  -----  -------  -----  ---  -----",
        "er (lr=0.5)  linear  reservoir     0   50.0     75.0  100.0  0.0  -25.0",
        "joint        linear  –             3   12.5        –  100.0  0.0      –",
    ]


def test_csv_has_a_line_for_each_row_and_nothing_where_nothing_is_defined(store: Path, make: Make) -> None:
    make("er", 0, changed={"head": "dlfl"}, head="dlfl", memory="prs", leak="it saw them")
    make("joint", 0, joint=True, freeze="backbone")
    make("lwf", 0, FAILED, view="limited:3")
    er, joint, lwf = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert list(er)[:14] == [
        *("scenario", "strategy", "head", "memory", "config_hash", "options", "status"),
        *("view", "frozen", "leak", "bound", "recomputed", "run_again", "n"),
    ]
    assert [(row["head"], row["memory"], row["bound"]) for row in (er, joint)] == [
        ("dlfl", "prs", "False"),
        ("linear", "", "True"),
    ]
    assert list(er)[14:18] == ["mAP", "mAP_sd", "mAP_ci95_low", "mAP_ci95_high"]
    assert json.loads(er["options"]) == {"head": "dlfl"} and er["leak"] == "it saw them" and er["frozen"] == "False"
    assert er["mAP_sd"] == er["mAP_ci95_low"] == er["mAP_ci95_high"] == ""  # one seed has no spread
    assert joint["forgetting_mAP"] == joint["average_mAP"] == "" != joint["mAP"] and joint["frozen"] == "True"
    assert (float(er["train_seconds"]), float(er["memory_bytes"])) == (4.0, 2e6)
    first = next(find_runs(store))
    assert float(er["mAP_minority"]) == first.metrics["groups"]["minority"]["mAP"]
    assert (lwf["status"], lwf["view"], lwf["n"], lwf["mAP"], lwf["parameters"]) == (
        "1 failed",
        "limited:3",
        "0",
        "",
        "",
    )


def test_programs_get_the_rows_in_the_order_of_the_tables_and_what_each_says(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("joint", seed, joint=True, offset=0.9)
        make("lwf", seed, offset=0.1, memory="prs")
    make("er", 0, view="validation:0.1", epochs=2)
    document = json.loads(formats.as_json(rows(store)))
    written = [(row["strategy"], row["view"], row["memory"], row["bound"]) for row in document["rows"]]
    assert written == [
        *(("lwf", "all", "prs", False), ("er", "all", None, False), ("joint", "all", None, True)),
        ("er", "validation:0.1", None, False),
    ]
    assert [line["strategy"] for line in csv.DictReader(io.StringIO(formats.as_csv(rows(store))))] == [
        strategy for strategy, *_ in written
    ]
    whole, validation = document["tables"]
    assert whole["conclusion"] == "By mAP lwf beats er (n = 6; paired test, 5 %)."
    assert (whole["scenario"], whole["view"], validation["view"]) == ("made", "all", "validation:0.1")
    assert validation["conclusion"].startswith("By mAP there is nothing to conclude")


def test_json_has_null_where_nothing_is_defined(store: Path, make: Make) -> None:
    make("joint", 0, joint=True)
    [row] = json.loads(formats.as_json(rows(store)), parse_constant=pytest.fail)["rows"]
    assert row["metrics"]["forgetting_mAP"] == {"mean": None, "sd": None, "ci95": None, "n": 1}
    assert row["groups"]["minority"]["average_mAP"]["mean"] is None
