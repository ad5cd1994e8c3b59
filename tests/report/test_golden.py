"""Every state of a cell in every format, as files to read: tests/report/golden/.

CLBENCH_WRITE_GOLDEN=1 writes them afresh; look at the difference before you commit it.
"""

import csv
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clbench.report import formats
from clbench.report.again import Again
from clbench.report.html import html
from clbench.report.latex import latex
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables, with_glossary
from clbench.store.folder import DIVERGED, DONE, FAILED, INTERRUPTED, RUNNING, find_runs

Make = Callable[..., None]

GOLDEN = Path(__file__).parent / "golden"
SHOWN = r'<table class="sortable">.*?</table>|<ul class="notes">.*?</ul>|<details class="run">.*?</details>'
LONG = r"<h4>.*?</pre>\n?"
"""Configuration and environment, which stand in the page whatever the state."""


def tables_of_page(rows: list[Row]) -> str:
    """What the page says of the rows, without what is the same in every page."""
    return "\n".join(re.sub(LONG, "", part, flags=re.DOTALL) for part in re.findall(SHOWN, html(rows), re.DOTALL))


FORMATS: dict[str, Callable[[list[Row]], str]] = {
    "txt": lambda rows: formats.text(with_glossary(build_tables(rows))),
    "md": lambda rows: formats.markdown(with_glossary(build_tables(rows))),
    "tex": latex,
    "csv": formats.as_csv,
    "html": tables_of_page,
}


@pytest.fixture
def states(store: Path, make: Make) -> list[Row]:
    """Done, failed, diverged, interrupted, running, fewer seeds, frozen, leaked weights, limited, and no group's AP.

    One row was recomputed, and two of its seeds were run again.
    """
    for seed in range(3):
        make("dlfl", seed, offset=0.1)
        make("er", seed, FAILED if seed else DONE, reason="OSError: no space left on <disk> & elsewhere")
        make("ewc", seed, freeze="backbone")
        make("finetune", seed, freeze="backbone", leak="fitted to all 100 % of made's classes")
    make("joint", 0, joint=True)
    make("lwf", 0, DIVERGED, reason="loss was nan at task 1, step 7")
    make("lwf", 1, INTERRUPTED, reason="SIGTERM")
    make("lwf", 2, RUNNING)
    make("lwf", 0, FAILED, reason="no memory", changed={"lr": 0.5})
    make("er", 0, view="limited:8", manifest="c" * 64)
    make("er", 0, manifest="b" * 64, grouped=False)
    again = {0: Again(True, 0.0, 0.0), 2: Again(False, 0.5, 0.0123)}
    return [
        replace(row, recomputed=frozenset(range(3)), again=again) if row.first.strategy == "dlfl" else row
        for row in collect(find_runs(store))
    ]


def as_lines(text: str) -> list[list[object]]:
    """Cells of CSV: numbers are compared to 12 digits, as the last ones are the processor's."""
    return [
        [pytest.approx(float(cell), rel=1e-12) if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", cell) else cell for cell in line]
        for line in csv.reader(text.splitlines())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ending", FORMATS)
def test_every_state_in_every_format(states: list[Row], ending: str) -> None:
    got, file = FORMATS[ending](states) + "\n", GOLDEN / f"states.{ending}"
    if os.environ.get("CLBENCH_WRITE_GOLDEN"):
        file.write_text(got, encoding="utf-8")
    expected = file.read_text(encoding="utf-8")
    if ending == "csv":
        assert as_lines(got) == as_lines(expected)
    else:
        assert got == expected


@pytest.mark.parametrize("ending", ["txt", "md", "tex", "html"])
def test_no_state_is_missing_from_what_is_read(ending: str) -> None:
    text = re.sub(r"\s+", " ", (GOLDEN / f"states.{ending}").read_text(encoding="utf-8"))
    for said in (
        "failed: OSError: no space left",
        "diverged: loss was nan at task 1, step 7",
        "interrupted: SIGTERM",
        "seed 2: running",
        "fewer seeds: 1, 2 not run",
        "frozen backbone",
        "leaked weights",
        "only limited:8 of the scenario was seen",
        "Run again here: dlfl (seeds 0, 2 of 3, mAP differs by 1.23, logits by up to 0.5).",
        "elsewhere they are as the runs report them",
        "LIMITED:8" if ending != "html" else "no result",
    ):
        assert said in text, said
    assert (
        "&lt;disk&gt; &amp;"
        if ending == "html"
        else {"tex": r"$<$disk$>$ \&"}.get(ending, "<disk> &" if ending == "txt" else "\\<disk> &")
    ) in text
