"""Rows become tables: which columns, how a cell is written, what stands below."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from clbench.errors import UsageError, unknown
from clbench.report.conclude import sentence
from clbench.report.names import first_column, in_words
from clbench.report.order import best_first, better
from clbench.report.ranks import mean_ranks
from clbench.report.remarks import class_orders, expected_seeds, few_seeds, marked, unlike_papers
from clbench.report.rows import ANGLE, COUNTS, TUNING, WHOLE, Row, data_notes
from clbench.report.told import told

EMPTY = "–"
"""A cell whose value is not defined."""

FORGETTING = ("CF1", "OF1", "forgetting_mAP", "forgetting_mAP_relative")
"""The second default table; the first is `main_columns`."""

TOOK = (*COUNTS, "train_seconds", "memory_bytes")
"""The third default table: what the numbers of the others cost. As many columns as a terminal has room for."""

HEADINGS = {
    "average_mAP": "avg mAP",
    "forgetting_mAP": "forgetting",
    "forgetting_mAP_relative": "forg. rel.",
    ANGLE: "angle °",
    "gradient_images": "grad. img",
    "replayed_images": "replayed",
    "train_seconds": "train s",
    "eval_seconds": "eval s",
    "memory_bytes": "memory MB",
    "peak_memory_bytes": "peak MB",
    "tuning_seconds": "tuning s",
}
RANK = "rank"
"""The mean rank by mAP over the complete block of rows and seeds."""
INTERVAL = "@ci95"
"""Behind a column's name: Student's 95 % interval instead of the mean."""
COSTS = (
    *COUNTS,
    "train_seconds",
    "eval_seconds",
    "memory_bytes",
    "peak_memory_bytes",
    "parameters",
    *TUNING,
)
COMPACT = (*COUNTS, "parameters")
"""Written in three digits in tables, with ± only where the seeds differ; csv and json have every digit."""
NAMES = ("strategy", "head", "memory")
"""The first columns of a table of rows: they say which row it is."""


@dataclass(frozen=True)
class Table:
    """A titled table of text with its footnotes.

    marks: for each row the letters of its footnotes (`a,b`), or none at all. lead: what stands above it. names: so
    many first columns are words that say which row it is; where they are several, a terminal that has no room for all
    columns shows the last ones below, with the names again. bounds: so many last rows stand apart, below a rule.
    """

    title: str
    headings: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    lead: str = ""
    names: int = 1
    bounds: int = 0

    @property
    def marked_cells(self) -> tuple[tuple[str, ...], ...]:
        """The cells, with each row's letters after its label."""
        if not any(self.marks):
            return self.cells
        pairs = zip(self.cells, self.marks, strict=True)
        return tuple((f"{row[0]} [{letters}]" if letters else row[0], *row[1:]) for row, letters in pairs)


class Built(NamedTuple):
    """A table with its rows, in its order, and the names of its columns after `n`."""

    table: Table
    rows: Sequence[Row]
    columns: Sequence[str]


def column_names(rows: Sequence[Row]) -> list[str]:
    """Every column that `--columns` takes, given these rows; `@ci95` may stand behind all but ranks."""
    metrics = sorted({name for row in rows for name in row.metric_names})
    groups = sorted({group for row in rows for group in row.group_names})
    by_group = [f"{name}:{group}" for group in groups for name in ("mAP", "CF1", "OF1", "forgetting_mAP")]
    ranks = [RANK, *(f"{RANK}:{group}" for group in groups)]
    return [*metrics, *by_group, *COSTS, *ranks]


def build_tables(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[Table]:
    """Tables for each scenario on the same data; the default ones, or one with the named columns.

    Raises:
        UsageError: an unknown column.
    """
    return [built.table for _, group in table_groups(rows, columns) for built in group]


def table_groups(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[tuple[list[Row], list[Built]]]:
    """`build_tables` by scenario, protocol, data and view: the rows, and their tables; notes stand below the last.

    Each table has its own order and its own conclusion, by its first metric; bounds are last.
    """
    _check_columns(rows, columns)
    groups = []
    for members in by_data(rows):
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
        for heading, shown in wanted.items():  # equal rows of a later table stand as in the first
            built.append(_table(f"{title(members[0])}{heading}", built[0].rows if built else members, shown))
        groups.append((list(built[0].rows), _with_notes(built)))
    return groups


def _with_notes(built: Sequence[Built]) -> list[Built]:
    """The tables with their letters, in the first one's order, and the last one with the notes of all."""
    first = built[0].rows
    letters = dict(zip(map(id, first), marked(first)[0], strict=True))
    tables = [replace(table, marks=tuple(letters[id(row)] for row in rows)) for table, rows, _ in built]
    tables[-1] = replace(tables[-1], notes=footnotes(first) + tables[-1].notes)
    return [one._replace(table=table) for one, table in zip(built, tables, strict=True)]


def first_metric(columns: Sequence[str]) -> str | None:
    """The metric that orders a table and is tested above it: its first column that is neither a cost nor a rank."""
    plain = (column.removesuffix(INTERVAL) for column in columns)
    return next((name for name in plain if name not in COSTS and not name.startswith(RANK)), None)


def ordered(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """The rows of a table from the best to the worst by its first metric, then those that lack a cell, then bounds.

    Without a metric: from the least cost or rank to the most.
    """
    return [rows[place] for place in _order(rows, columns, [_column(rows, name) for name in columns])]


def _order(rows: Sequence[Row], columns: Sequence[str], written: Sequence[Sequence[str]]) -> list[int]:
    """Places of the rows; see `ordered`. written: the cells of each column."""
    metric = first_metric(columns)
    last = [
        2 if row.is_bound else int(not row.done or any(column[i] == EMPTY for column in written))
        for i, row in enumerate(rows)
    ]
    sign = better(metric) or 1 if metric else -1
    return best_first(_means(rows, metric or columns[0].removesuffix(INTERVAL)), sign, last)


def main_columns(row: Row) -> tuple[str, ...]:
    """The first default table: mAP, in the frequency groups that the row's scenario has, and averaged over tasks."""
    return ("mAP", *(f"mAP:{group}" for group in row.first.env["manifest"]["groups"]), "average_mAP")


def _check_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    known = column_names(rows)
    for name in columns:
        plain = name.removesuffix(INTERVAL)
        if any(row.done for row in rows) and (plain not in known or (plain != name and plain.startswith(RANK))):
            raise UsageError(unknown("column", name, known, f"{INTERVAL} behind a metric gives its interval."))


def matrix_tables(rows: Sequence[Row], metric: str = "mAP") -> list[Table]:
    """For each row the metric on every task's own test images and classes (columns) after each task (rows)."""
    tables = []
    for row in (row for row in rows if row.done):
        matrix = row.matrix(metric)
        tasks = [f"task {t}" for t in range(matrix.shape[1])]
        stages = ["all tasks"] if row.is_bound else [f"after task {t}" for t in range(len(matrix))]
        cells = [(stage, *(percent(value) for value in line)) for stage, line in zip(stages, matrix, strict=True)]
        heading = f"{row.first.scenario}, {row.label}: {metric} on each task, %, mean of {len(row.done)} seed(s)"
        tables.append(Table(heading, ("", *tasks), tuple(cells), class_orders([row])))
    return tables


def percent(value: float) -> str:
    """A fraction as percent; a dash where it is not defined."""
    return EMPTY if math.isnan(value) else f"{100 * value:.1f}"


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


def title(row: Row) -> str:
    """Scenario and its size."""
    manifest = row.first.env["manifest"]
    size = f"{len(manifest['tasks'])} tasks, {len(manifest['classes'])} classes"
    return f"{row.first.scenario}{seen(row.view)} ({size})"


def footnotes(rows: Sequence[Row]) -> tuple[str, ...]:
    """What a reader must know of a table: protocol, data, what differs between the rows, what is missing."""
    run = rows[0].first
    protocol = "; ".join(f"{axis}: {value}" for axis, value in run.config["protocol"].items())
    data = f"{'drawn from' if rows[0].drawn else 'manifest'} {rows[0].data[:12]}"
    return (
        "mean±sd over n seeds" if any(len(row.done) > 1 for row in rows) else "one seed: no spread",
        f"Protocol: {protocol}.",
        *class_orders(rows),
        f"Data: {'; '.join([data, *data_notes(rows)])}.",
        *unlike_papers(rows),
        *(f"{name}: {values}." for name, values in differences(rows).items()),
        *_bounds(rows),
        *_tuned(rows),
        *_recomputed(rows),
        *marked(rows)[1],
    )


def _bounds(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows stand apart, and why."""
    names = [name for row, name in zip(rows, in_words(rows), strict=True) if row.is_bound]
    return (f"{', '.join(names)}: upper bound, all tasks learned at once; it is not ranked.",) if names else ()


def _tuned(rows: Sequence[Row]) -> tuple[str, ...]:
    """What was spent on the options of every row, where it is the same; `marked` says what differs."""
    searches = {row.tuning for row in rows}
    alike = searches.pop() if len(searches) == 1 else None
    return (f"Options of each row: the best of {alike}, by its recipe.",) if alike else ()


def _recomputed(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows somebody has computed again."""
    pairs = [(name, row.is_recomputed) for row, name in zip(rows, in_words(rows), strict=True) if row.done]
    again = [name for name, recomputed in pairs if recomputed]
    if not again:
        return ("Numbers are as the runs report them; --verify computes them again from the saved logits.",)
    others = "" if len(again) == len(pairs) else f" in {', '.join(again)}; elsewhere they are as the runs report them"
    return (f"Numbers were computed again from the saved logits{others}.",)


def differences(rows: Sequence[Row]) -> dict[str, str]:
    """Options that are not the same in all rows and have no column: name -> `5 (joint), 1 (others)`."""
    settings: list[Mapping[str, Any]] = []
    for row in rows:
        config = row.first.config
        size = {"memory size": config["options"]["memory"]["size"]} if config["memory"] else {}
        settings.append(config["options"]["model"] | config["options"]["train"] | size)
    found = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        by_value: dict[Any, list[str]] = {}
        for called, setting in zip(in_words(rows), settings, strict=True):
            if name in setting:
                by_value.setdefault(told(setting[name]), []).append(called)
        if len(by_value) > 1:
            most = max(by_value, key=lambda value: len(by_value[value]))
            rest = [f"{value} ({', '.join(labels)})" for value, labels in by_value.items() if value != most]
            found[name] = ", ".join([*rest, f"{most} (others)"])
    return found


def _table(heading: str, members: Sequence[Row], columns: Sequence[str]) -> Built:
    """One table, in its own order, without letters."""
    written = [_column(members, name) for name in columns]
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
    )
    return Built(table, rows, columns)


def not_recorded(rows: Sequence[Row], columns: Sequence[str]) -> tuple[str, ...]:
    """Why some rows have no counts."""
    named = [name for name in COUNTS if any(column.removesuffix(INTERVAL) == name for column in columns)]
    lacking = [
        name
        for row, name in zip(rows, in_words(rows), strict=True)
        if row.done and any(row.cost(count)["mean"] is None for count in named)
    ]
    headings = ", ".join(map(heading_of, named))
    return (f"{headings}: {EMPTY} where an older version ran it ({', '.join(lacking)}).",) if lacking else ()


def heading_of(column: str) -> str:
    """What stands above a column."""
    name, _, group = column.removesuffix(INTERVAL).partition(":")
    heading = group if group and name == "mAP" else HEADINGS.get(name, name) + (f" {group}" if group else "")
    return f"{heading} 95 %" if column.endswith(INTERVAL) else heading


def _count(row: Row, seeds: int) -> str:
    """Seeds done, `2/3` where there are fewer than the table's other rows have or have begun."""
    return str(seeds) if len(row.done) == seeds else f"{len(row.done)}/{seeds}"


def _column(rows: Sequence[Row], column: str) -> list[str]:
    """One cell for each row."""
    if column.startswith(RANK):
        means = mean_ranks(rows, column.partition(":")[2] or None).means
        return [EMPTY if mean is None else f"{mean:.1f}" for mean in means]
    return [_cell(row, column) for row in rows]


def _means(rows: Sequence[Row], column: str) -> list[float | None]:
    """What each row is ordered by; None where it has no number."""
    name, _, group = column.partition(":")
    if name == RANK:
        return list(mean_ranks(rows, group or None).means)
    return [
        (row.cost(name) if name in COSTS else row.metric(name, group or None))["mean"] if row.done else None
        for row in rows
    ]


def _cell(row: Row, column: str) -> str:
    if not row.done:
        return next(iter(row.states)) if len(row.states) == 1 else "not done"
    name, _, group = column.removesuffix(INTERVAL).partition(":")
    value = row.cost(name) if name in COSTS else row.metric(name, group or None)
    scale, digits = scale_of(name)
    if column.endswith(INTERVAL):
        return EMPTY if value["ci95"] is None else interval(value["ci95"], scale, digits)
    if value["mean"] is None:
        return EMPTY
    if name in COMPACT:
        return compact(value["mean"]) + (f"±{compact(value['sd'])}" if value["sd"] else "")
    spread = "" if value["sd"] is None else f"±{scale * value['sd']:.{digits}f}"
    return f"{scale * value['mean']:.{digits}f}{spread}"


def compact(number: float) -> str:
    """A count in three digits: 999, 1.00k, 33.4M."""
    if number < 999.5:
        return f"{number:.0f}"
    digits, exponent = f"{number:.2e}".split("e")
    thousands, place = divmod(int(exponent), 3)
    return f"{float(digits) * 10**place:.{2 - place}f}{' kMGT'[thousands]}"


def interval(ends: Sequence[float], scale: float, digits: int) -> str:
    """`[1.2, 3.4]`."""
    return f"[{', '.join(f'{scale * end:.{digits}f}' for end in ends)}]"


def scale_of(name: str) -> tuple[float, int]:
    """What a value is multiplied by, and its decimals."""
    if name in COSTS:
        return (1e-6, 1) if name.endswith("bytes") else (1.0, 0)
    return (1.0, 1) if name == ANGLE else (100.0, 1)
