"""Rows become tables: which columns, how a cell is written, what stands below."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from clbench.errors import UsageError, unknown
from clbench.records import DONE
from clbench.report.rows import ANGLE, Row
from clbench.scenario import GROUPS

EMPTY = "–"
"""A cell whose value is not defined."""

MAIN = ("mAP", *(f"mAP:{group}" for group in GROUPS), "average_mAP")
"""The first default table."""
FORGETTING = ("CF1", "OF1", "forgetting_mAP", "forgetting_mAP_relative")
"""The second one."""

HEADINGS = {
    "average_mAP": "avg mAP",
    "forgetting_mAP": "forgetting",
    "forgetting_mAP_relative": "forg. rel.",
    ANGLE: "angle °",
    "train_seconds": "train s",
    "eval_seconds": "eval s",
    "memory_bytes": "memory MB",
    "peak_memory_bytes": "peak MB",
}
COSTS = ("train_seconds", "eval_seconds", "memory_bytes", "peak_memory_bytes", "parameters")


@dataclass(frozen=True)
class Table:
    """A titled table of text with its footnotes."""

    title: str
    headings: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def column_names(rows: Sequence[Row]) -> list[str]:
    """Every column that `--columns` takes, given these rows."""
    metrics = sorted({name for row in rows for name in row.metric_names})
    groups = sorted({group for row in rows for group in row.group_names})
    by_group = [f"{name}:{group}" for group in groups for name in ("mAP", "CF1", "OF1", "forgetting_mAP")]
    return [*metrics, *by_group, *COSTS]


def build_tables(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[Table]:
    """Tables for each scenario on the same data; the default ones, or one with the named columns.

    Raises:
        UsageError: an unknown column.
    """
    known = column_names(rows)
    for name in columns:
        if name not in known and any(row.done for row in rows):
            raise UsageError(unknown("column", name, known))
    tables = []
    for members in by_data(rows):
        heading, notes = title(members[0]), footnotes(members)
        if columns:
            tables.append(_table(f"{heading}, %", members, columns, notes))
        else:
            tables.append(_table(f"{heading}: mAP after the last task, %", members, MAIN, ()))
            tables.append(_table(f"{heading}: F1 and forgetting of mAP, %", members, FORGETTING, notes))
    return tables


def matrix_tables(rows: Sequence[Row], metric: str = "mAP") -> list[Table]:
    """For each row the metric on every task's own test images and classes (columns) after each task (rows)."""
    tables = []
    for row in (row for row in rows if row.done):
        matrix = row.matrix(metric)
        tasks = [f"task {t}" for t in range(matrix.shape[1])]
        stages = (
            ["all tasks"]
            if len(matrix) == 1 and matrix.shape[1] > 1
            else [f"after task {t}" for t in range(len(matrix))]
        )
        cells = [(stage, *(percent(value) for value in line)) for stage, line in zip(stages, matrix, strict=True)]
        heading = f"{row.first.scenario}, {row.label}: {metric} on each task, %, mean of {len(row.done)} seed(s)"
        tables.append(Table(heading, ("", *tasks), tuple(cells)))
    return tables


def percent(value: float) -> str:
    """A fraction as percent; a dash where it is not defined."""
    return EMPTY if math.isnan(value) else f"{100 * value:.1f}"


def by_data(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that may stand in one table: same scenario, protocol, data and limit."""

    def key(row: Row) -> tuple[str, str, str]:
        run = row.first
        return run.scenario, json.dumps(run.config["protocol"], sort_keys=True), run.env["manifest"]["hash"]

    return [list(members) for _, members in groupby(sorted(rows, key=key), key)]


def title(row: Row) -> str:
    """Scenario and its size."""
    manifest = row.first.env["manifest"]
    size = f"{len(manifest['tasks'])} tasks, {len(manifest['classes'])} classes"
    return f"{row.first.scenario}{' LIMITED' if row.limited else ''} ({size})"


def footnotes(rows: Sequence[Row]) -> tuple[str, ...]:
    """What a reader must know of a table: protocol, data, what differs between the rows, what is missing."""
    run = rows[0].first
    protocol = "; ".join(f"{axis}: {value}" for axis, value in run.config["protocol"].items())
    manifest = run.env["manifest"]
    return (
        "mean±sd over n seeds" if any(len(row.done) > 1 for row in rows) else "one seed: no spread",
        f"Protocol: {protocol}.",
        f"Data: manifest {manifest['hash'][:12]}" + "".join(f"; {note}" for note in manifest["notes"]) + ".",
        *(f"{name}: {values}." for name, values in differences(rows).items()),
        *(note for row in rows for note in _missing(row)),
    )


def differences(rows: Sequence[Row]) -> dict[str, str]:
    """Options of model and training that are not the same in all rows: name -> `5 (joint), 1 (others)`."""
    settings: list[Mapping[str, Any]] = []
    for row in rows:
        config = row.first.config
        memory = {"memory": config["memory"] or "none"}
        size = {"memory size": config["options"]["memory"]["size"]} if config["memory"] else {}
        settings.append(config["options"]["model"] | config["options"]["train"] | memory | size)
    found = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        by_value: dict[Any, list[str]] = {}
        for row, setting in zip(rows, settings, strict=True):
            if name in setting:
                by_value.setdefault(setting[name], []).append(row.label)
        if len(by_value) > 1:
            most = max(by_value, key=lambda value: len(by_value[value]))
            rest = [f"{value} ({', '.join(labels)})" for value, labels in by_value.items() if value != most]
            found[name] = ", ".join([*rest, f"{most} (others)"])
    return found


def _missing(row: Row) -> list[str]:
    return [
        f"{row.label}, seed {run.seed}: {run.state}{': ' + run.status['reason'] if run.status['reason'] else ''}"
        for run in row.runs
        if run.state != DONE
    ]


def _table(heading: str, rows: Sequence[Row], columns: Sequence[str], notes: tuple[str, ...]) -> Table:
    headings = ("strategy", "n", *(_heading(name) for name in columns))
    cells = [(row.label, _count(row), *(_cell(row, name) for name in columns)) for row in rows]
    return Table(heading, headings, tuple(cells), notes)


def _heading(column: str) -> str:
    name, _, group = column.partition(":")
    return group if group and name == "mAP" else HEADINGS.get(name, name) + (f" {group}" if group else "")


def _count(row: Row) -> str:
    """Seeds done, `2/3` where some are not."""
    return str(len(row.done)) if len(row.done) == len(row.runs) else f"{len(row.done)}/{len(row.runs)}"


def _cell(row: Row, column: str) -> str:
    if not row.done:
        return " ".join(row.states)
    name, _, group = column.partition(":")
    value = row.cost(name) if name in COSTS else row.metric(name, group or None)
    if value["mean"] is None:
        return EMPTY
    scale, digits = _scale(name)
    spread = "" if value["sd"] is None else f"±{scale * value['sd']:.{digits}f}"
    return f"{scale * value['mean']:.{digits}f}{spread}"


def _scale(name: str) -> tuple[float, int]:
    """What a value is multiplied by, and its decimals."""
    if name in COSTS:
        return (1e-6, 1) if name.endswith("bytes") else (1.0, 0)
    return (1.0, 1) if name == ANGLE else (100.0, 1)
