"""Tables and rows as text, Markdown, CSV and JSON; the same rows give the same bytes."""

import csv
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from clbench.report.rows import TUNING, Row, collect
from clbench.report.tables import COSTS, Table, percent
from clbench.store.folder import SCHEMA, Run

WIDTH = 80
"""Columns of a terminal that a printed table should fit into."""
GAP = 2
"""Spaces between two columns."""


def text(tables: Sequence[Table]) -> str:
    """Aligned plain text, footnotes wrapped."""
    blocks = []
    for table in tables:
        body = _plain(table)
        notes = (textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in table.notes)
        blocks.append("\n".join([table.title, body, *notes]))
    return "\n\n".join(blocks)


def markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables, footnotes as a list."""
    blocks = []
    for table in tables:
        cells = [[_as_markdown(cell) for cell in row] for row in table.marked_cells]
        body = tabulate(cells, table.headings, "github", colalign=_align(table), disable_numparse=True)
        notes = "\n".join(f"- {_as_markdown(note)}" for note in table.notes)
        blocks.append("\n\n".join(part for part in (f"**{table.title}**", body, notes) if part))
    return "\n\n".join(blocks)


def summary(runs: Sequence[Run]) -> str:
    """What `clbench run` prints at its end: one line for each run, percent."""
    names = ("mAP", "average_mAP", "CF1", "OF1", "forgetting_mAP")
    rows = collect(runs)
    cells = [
        [row.label, str(run.seed), *(percent(value[i]) for value in (row.values(name) for name in names))]
        for row in rows
        for i, run in enumerate(row.done)
    ]
    headings = ("strategy", "seed", "mAP %", "avg mAP", "CF1", "OF1", "forgetting")
    return _plain(Table("", headings, tuple(tuple(line) for line in cells)))


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row, fractions as in the files: every metric's mean, sd and 95 % interval, and n."""
    lines = []
    for row in rows:
        line: dict[str, object] = {
            "scenario": row.first.scenario,
            "strategy": row.first.strategy,
            "config_hash": row.first.config_hash,
            "options": json.dumps(row.changed),
            "status": row.status,
            "view": row.view,
            "frozen": row.frozen,
            "leak": row.leak,
            "n": len(row.done),
        }
        for name in row.metric_names:
            line |= _numbers(name, row.metric(name))
        for group in row.group_names:
            line |= _numbers(f"mAP_{group}", row.metric("mAP", group))
        costs = [name for name in COSTS if row.done and (row.tuning or name not in TUNING)]
        line |= {name: row.cost(name)["mean"] for name in costs}
        lines.append(line)
    fields = list(dict.fromkeys(name for line in lines for name in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue().rstrip("\n")


def as_json(rows: Sequence[Row]) -> str:
    """`{"schema": 1, "rows": [...]}`; see `Row.as_json`."""
    return json.dumps({"schema": SCHEMA, "rows": [row.as_json() for row in rows]}, indent=2, allow_nan=False)


def _numbers(name: str, value: Mapping[str, Any]) -> dict[str, object]:
    """A metric's columns: mean, sd, and the ends of its Student's 95 % interval."""
    low, high = value["ci95"] or (None, None)
    return {name: value["mean"], f"{name}_sd": value["sd"], f"{name}_ci95_low": low, f"{name}_ci95_high": high}


def _as_markdown(text: str) -> str:
    """A label or a reason as it stands: neither a tag nor a new cell or line begins in it."""
    return " ".join(text.split()).replace("<", r"\<").replace("|", r"\|")


def _plain(table: Table) -> str:
    """A text table; labels are wrapped where it would be wider than a terminal."""
    marked = table.marked_cells
    widest = [max(len(row[i]) for row in (table.headings, *marked)) for i in range(len(table.headings))]
    label = max(16, WIDTH - sum(width + GAP for width in widest[1:]))
    cells = [(textwrap.fill(row[0], label), *row[1:]) for row in marked]
    rule = ["-" * min(widest[0], label), *("-" * width for width in widest[1:])]
    # Headings as a row of cells: tabulate would pad real ones.
    lines = [table.headings, rule, *cells]
    return tabulate(lines, tablefmt="plain", colalign=_align(table), disable_numparse=True)


def _align(table: Table) -> tuple[str, ...]:
    return ("left", *["right"] * (len(table.headings) - 1))
