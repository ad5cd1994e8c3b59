"""Tables and rows as text, Markdown, CSV and JSON; the same rows give the same bytes."""

import csv
import io
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from clbench.report.cells import EMPTY, percent
from clbench.report.columns import COSTS, main_columns
from clbench.report.conclude import sentence
from clbench.report.names import in_words
from clbench.report.rows import TUNING, Row, collect
from clbench.report.tables import NAMES, Table, by_data, ordered
from clbench.store.folder import SCHEMA, Run
from clbench.terminal import printable

WIDTH = 80
"""Columns of a terminal that a printed table should fit into."""
GAP = 2
"""Spaces between two columns."""
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]+$)")
LABEL = 16
"""Letters that a row's label keeps in a table that is too wide."""


def text(tables: Sequence[Table]) -> str:
    """Aligned plain text, footnotes wrapped."""
    blocks = []
    for table in tables:
        lead = [textwrap.fill(table.lead, WIDTH)] if table.lead else []
        notes = (textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in table.notes)
        blocks.append("\n".join([table.title, *lead, _plain(table), *notes]))
    return printable("\n\n".join(blocks))


def markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables, footnotes as a list."""
    blocks = []
    for table in tables:
        cells = [[_as_markdown(cell) for cell in row] for row in table.marked_cells]
        if table.bounds:  # there is no rule inside a table
            cells.insert(len(cells) - table.bounds, ["*bounds*", *[""] * (len(table.headings) - 1)])
        headings = [_as_markdown(heading) for heading in table.headings]
        body = tabulate(cells, headings, "github", colalign=_align(table), disable_numparse=True)
        notes = "\n".join(f"- {_as_markdown(note)}" for note in table.notes)
        blocks.append(
            "\n\n".join(
                part for part in (f"**{_as_markdown(table.title)}**", _as_markdown(table.lead), body, notes) if part
            )
        )
    return "\n\n".join(blocks)


def summary(runs: Sequence[Run]) -> str:
    """What `clbench run` prints at its end: one line for each run, percent."""
    names = ("mAP", "average_mAP", "CF1", "OF1", "forgetting_mAP")
    rows = collect(runs)
    cells = [
        [
            row.name,
            row.head,
            row.memory or EMPTY,
            str(run.seed),
            *(percent(value[i]) for value in (row.values(name) for name in names)),
        ]
        for row in rows
        for i, run in enumerate(row.done)
    ]
    headings = (*NAMES, "seed", "mAP %", "avg mAP", "CF1", "OF1", "forg.")
    return printable(_plain(Table("", headings, tuple(tuple(line) for line in cells), names=len(NAMES))))


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row, in the order of the tables.

    Fractions as in the files: every metric's mean, sd and 95 % interval, and n.
    """
    lines = []
    for row in (row for members in _groups(rows) for row in members):
        line: dict[str, object] = {
            "scenario": row.first.scenario,
            "strategy": row.first.strategy,
            "head": row.head,
            "memory": row.memory,
            "config_hash": row.first.config_hash,
            "options": json.dumps(row.changed),
            "status": row.status,
            "view": row.view,
            "frozen": row.frozen,
            "leak": row.leak,
            "bound": row.is_bound,
            "recomputed": row.is_recomputed,
            "run_again": row.ran_again,
            "n": len(row.done),
        }
        for name in row.metric_names:
            line |= _numbers(name, row.metric(name))
        for group in row.group_names:
            line |= _numbers(f"mAP_{group}", row.metric("mAP", group))
        costs = [name for name in COSTS if row.done and (row.tuning or name not in TUNING)]
        line |= {name: row.cost(name)["mean"] for name in costs}
        lines.append({name: _as_cell(value) for name, value in line.items()})
    fields = list(dict.fromkeys(name for line in lines for name in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return printable(buffer.getvalue().rstrip("\n"))


def as_json(rows: Sequence[Row], made: Mapping[str, Any] | None = None) -> str:
    """`{"schema": 1, "tables": [...], "rows": [...]}`: what each table says, and every row; see `Row.as_json`.

    made: when and by what, under that name; see `clbench.report.origin`.
    """
    groups = _groups(rows)
    document = {
        "schema": SCHEMA,
        **({"made": dict(made)} if made else {}),
        "tables": [_said(members) for members in groups],
        "rows": [row.as_json() for members in groups for row in members],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each table, in the order of its first default one."""
    return [ordered(members, main_columns(members[0])) for members in by_data(rows)]


def _said(rows: Sequence[Row]) -> dict[str, Any]:
    """Which table it is, and what can be concluded from it."""
    run, metric = rows[0].first, main_columns(rows[0])[0]
    which = {"scenario": run.scenario, "protocol": run.config["protocol"], "view": rows[0].view}
    said = {"metric": metric, "conclusion": sentence(rows, in_words(rows), metric)}
    return which | {"manifest": run.env["manifest"]["hash"]} | said


def _numbers(name: str, value: Mapping[str, Any]) -> dict[str, object]:
    """A metric's columns: mean, sd, and the ends of its Student's 95 % interval."""
    low, high = value["ci95"] or (None, None)
    return {name: value["mean"], f"{name}_sd": value["sd"], f"{name}_ci95_low": low, f"{name}_ci95_high": high}


def _as_markdown(text: str) -> str:
    """A label or a reason as it stands: neither a tag, a link nor a new cell or line begins in it.

    A backslash is written as its number, or one that stands there would undo the one that is put there.
    """
    plain = printable(" ".join(text.split())).replace("\\", "&#92;")
    return plain.replace("<", r"\<").replace("|", r"\|").replace("](", r"]\(")


def _as_cell(value: object) -> object:
    """A spreadsheet takes a text that begins so for a formula; behind a quote it is text."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _plain(table: Table) -> str:
    """A text table; where it would be wider than a terminal, labels are wrapped, then columns stand in blocks."""
    marked = table.marked_cells
    widest = [max(len(row[i]) for row in (table.headings, *marked)) for i in range(len(table.headings))]
    return "\n\n".join(_block(table, marked, widest, columns) for columns in _blocks(widest, table.names))


def _blocks(widest: Sequence[int], names: int) -> list[list[int]]:
    """The columns of each block: those that name the row, and as many others as fit. One block for a single name."""
    start = min(widest[0], LABEL) + sum(width + GAP for width in widest[1:names])
    blocks, used = [[*range(names)]], start
    for column, width in enumerate(widest[names:], start=names):
        used += width + GAP
        if names > 1 and used > WIDTH and len(blocks[-1]) > names:
            blocks.append([*range(names)])
            used = start + width + GAP
        blocks[-1].append(column)
    return blocks


def _block(table: Table, marked: Sequence[Sequence[str]], widest: Sequence[int], columns: Sequence[int]) -> str:
    first, *others = columns
    label = max(LABEL, WIDTH - sum(widest[i] + GAP for i in others))
    rule = ["-" * min(widest[first], label), *("-" * widest[i] for i in others)]
    cells = [[textwrap.fill(row[first], label), *(row[i] for i in others)] for row in marked]
    if 0 < table.bounds < len(cells):
        cells.insert(len(cells) - table.bounds, rule)
    # Headings as a row of cells: tabulate would pad real ones.
    lines = [[table.headings[i] for i in columns], rule, *cells]
    align = [_align(table)[i] for i in columns]
    return tabulate(lines, tablefmt="plain", colalign=align, disable_numparse=True)


def _align(table: Table) -> tuple[str, ...]:
    return tuple("left" if i < table.names else "right" for i in range(len(table.headings)))
