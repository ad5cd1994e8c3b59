"""Rows become tables: which rows share one, in which order, and what stands above and below."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from clbench.report.cells import EMPTY, column_cells, means, percent
from clbench.report.columns import (
    FORGETTING,
    INTERVAL,
    RANK,
    TOOK,
    check_columns,
    first_metric,
    heading_of,
    main_columns,
)
from clbench.report.conclude import sentence
from clbench.report.glossary import meaning
from clbench.report.names import first_column, in_words
from clbench.report.notes import footnotes, not_recorded
from clbench.report.order import best_first, better
from clbench.report.ranks import mean_ranks
from clbench.report.remarks import class_orders, expected_seeds, few_seeds, marked
from clbench.report.rows import WHOLE, Row

NAMES = ("strategy", "head", "memory")
"""The first columns of a table of rows: they say which row it is."""


@dataclass(frozen=True)
class Table:
    """A titled table of text with its footnotes.

    marks: for each row the letters of its footnotes (`a,b`), or none at all. lead: what stands above it. names: so
    many first columns are words that say which row it is; where they are several, a terminal that has no room for all
    columns shows the last ones below, with the names again. bounds: so many last rows stand apart, below a rule.
    meanings: what each heading means, or none at all; `glossary` makes lines of them.
    """

    title: str
    headings: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    lead: str = ""
    names: int = 1
    bounds: int = 0
    meanings: tuple[str, ...] = ()

    @property
    def explained(self) -> tuple[tuple[str, str], ...]:
        """The headings, each with its meaning, which may be empty."""
        return tuple(zip(self.headings, self.meanings or ("",) * len(self.headings), strict=True))

    @property
    def marked_cells(self) -> tuple[tuple[str, ...], ...]:
        """The cells, with each row's letters after its label."""
        if not any(self.marks):
            return self.cells
        pairs = zip(self.cells, self.marks, strict=True)
        return tuple((f"{row[0]} [{letters}]" if letters else row[0], *row[1:]) for row, letters in pairs)


def glossary(tables: Sequence[Table]) -> tuple[str, ...]:
    """`heading: meaning`, once for each heading after the names of the rows, in the order of the tables."""
    pairs = [pair for table in tables for pair in table.explained[table.names :]]
    return tuple(dict.fromkeys(f"{heading}: {said}." for heading, said in pairs if said))


def with_glossary(tables: Sequence[Table]) -> list[Table]:
    """The tables, with their glossary among the notes of the last one."""
    *others, last = tables
    return [*others, replace(last, notes=last.notes + glossary(tables))]


class Built(NamedTuple):
    """A table with its rows, in its order, and the names of its columns after `n`."""

    table: Table
    rows: Sequence[Row]
    columns: Sequence[str]


class Group(NamedTuple):
    """Rows of the same scenario, protocol, data and view, in the first table's order, their tables, and their title."""

    title: str
    rows: Sequence[Row]
    tables: Sequence[Built]


def build_tables(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[Table]:
    """Tables for each scenario on the same data; the default ones, or one with the named columns.

    Raises:
        UsageError: an unknown column.
    """
    return [built.table for group in table_groups(rows, columns) for built in group.tables]


def table_groups(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[Group]:
    """`build_tables` by scenario, protocol, data and view; notes stand below the last table of each.

    Each table has its own order and its own conclusion, by its first metric; bounds are last.
    """
    check_columns(rows, columns)
    groups, apart = [], by_data(rows)
    for members, heading in zip(apart, titles(apart), strict=True):
        if columns:
            wanted: dict[str, Sequence[str]] = {", %": columns}
        else:
            main = main_columns(members[0])
            wanted = {
                ": mAP after the last task, %": main,
                ": F1 and forgetting of mAP, %": FORGETTING,
                ": what it took": TOOK,
            }
        built: list[Built] = []
        for what, shown in wanted.items():  # equal rows of a later table stand as in the first
            built.append(_table(f"{heading}{what}", built[0].rows if built else members, shown))
        groups.append(Group(heading, built[0].rows, _with_notes(built)))
    return groups


def _with_notes(built: Sequence[Built]) -> list[Built]:
    """The tables with their letters, in the first one's order, and the last one with the notes of all."""
    first = built[0].rows
    letters = dict(zip(map(id, first), marked(first)[0], strict=True))
    tables = [replace(table, marks=tuple(letters[id(row)] for row in rows)) for table, rows, _ in built]
    tables[-1] = replace(tables[-1], notes=footnotes(first) + tables[-1].notes)
    return [one._replace(table=table) for one, table in zip(built, tables, strict=True)]


def ordered(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """The rows of a table from the best to the worst by its first metric, then those that lack a cell, then bounds.

    Without a metric: from the least cost or rank to the most.
    """
    return [rows[place] for place in _order(rows, columns, [column_cells(rows, name) for name in columns])]


def _order(rows: Sequence[Row], columns: Sequence[str], written: Sequence[Sequence[str]]) -> list[int]:
    """Places of the rows; see `ordered`. written: the cells of each column."""
    metric = first_metric(columns)
    last = [
        2 if row.is_bound else int(not row.done or any(column[i] == EMPTY for column in written))
        for i, row in enumerate(rows)
    ]
    sign = better(metric) or 1 if metric else -1
    return best_first(means(rows, metric or columns[0].removesuffix(INTERVAL)), sign, last)


def matrix_tables(rows: Sequence[Row], metric: str = "mAP") -> list[Table]:
    """For each row the metric on every task's own test images and classes (columns) after each task (rows)."""
    tables = []
    for row in (row for row in rows if row.done):
        matrix = row.matrix(metric)
        tasks = [f"task {t}" for t in range(1, matrix.shape[1] + 1)]
        stages = ["all tasks"] if row.is_bound else [f"after task {t}" for t in range(1, len(matrix) + 1)]
        cells = [(stage, *(percent(value) for value in line)) for stage, line in zip(stages, matrix, strict=True)]
        heading = f"{row.first.scenario}, {row.label}: {metric} on each task, %, mean of {len(row.done)} seed(s)"
        tables.append(Table(heading, ("", *tasks), tuple(cells), class_orders([row])))
    return tables


def by_data(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that may stand in one table: same scenario, protocol, data and view."""

    def key(row: Row) -> tuple[str, str, str, str]:
        run = row.first
        protocol = json.dumps(run.config["protocol"], sort_keys=True)
        return run.scenario, protocol, row.data, run.config["view"]

    return [list(members) for _, members in groupby(sorted(rows, key=key), key)]


def seen(view: str) -> str:
    """What a heading says of a view that is not the whole scenario, with a space before it."""
    return "" if view == WHOLE else f" {view.upper()}"


def titles(groups: Sequence[Sequence[Row]]) -> list[str]:
    """What each of several groups of rows is called: where their titles are the same, with what tells them apart."""
    plain = [_title(rows[0]) for rows in groups]
    protocols = [rows[0].first.config["protocol"] for rows in groups]
    found = []
    for rows, own, name in zip(groups, protocols, plain, strict=True):
        alike = [other for other, same in zip(protocols, plain, strict=True) if same == name]
        axes = [f"{axis}: {value}" for axis, value in own.items() if any(o.get(axis) != value for o in alike)]
        data = [f"data {rows[0].data[:12]}"] if alike.count(own) > 1 else []
        found.append(", ".join([name, *axes, *data]))
    return found


def _title(row: Row) -> str:
    """Scenario and its size."""
    manifest = row.first.env["manifest"]
    size = f"{len(manifest['tasks'])} tasks, {len(manifest['classes'])} classes"
    return f"{row.first.scenario}{seen(row.view)} ({size})"


def _table(heading: str, members: Sequence[Row], columns: Sequence[str]) -> Built:
    """One table, in its own order, without letters."""
    written = [column_cells(members, name) for name in columns]
    places = _order(members, columns, written)
    rows, seeds = [members[place] for place in places], len(expected_seeds(members))
    cells = tuple(
        (name, row.head, row.memory or EMPTY, _count(row, seeds), *(column[place] for column in written))
        for place, name, row in zip(places, first_column(rows), rows, strict=True)
    )
    metric = first_metric(columns)
    ranks = (mean_ranks(rows, name.partition(":")[2] or None).note for name in columns if name.startswith(RANK))
    intervals = any(column.endswith(INTERVAL) for column in columns)
    table = Table(
        heading,
        (*NAMES, "n", *(heading_of(name) for name in columns)),
        cells,
        notes=not_recorded(rows, columns) + few_seeds(rows, intervals) + tuple(dict.fromkeys(ranks)),
        lead=sentence(rows, in_words(rows), metric) if metric else "",
        names=len(NAMES),
        bounds=sum(row.is_bound for row in rows),
        meanings=tuple(meaning(name) for name in (*NAMES, "n", *columns)),
    )
    return Built(table, rows, columns)


def _count(row: Row, seeds: int) -> str:
    """Seeds done, `2/3` where there are fewer than the table's other rows have or have begun."""
    return str(seeds) if len(row.done) == seeds else f"{len(row.done)}/{seeds}"
