"""`clbench compare`: which differences between rows hold up."""

import json as json_
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import complete
from clbench.cli.common import STORE, Debug, Json, OneScenario, Runs, store_at
from clbench.errors import StoreError, UsageError
from clbench.terminal import say

if TYPE_CHECKING:
    from clbench.report.rows import Row


def compare(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STORE|ROW",
            show_default="each pair of each table",
            help="The results folder, unless --runs names it; then two rows or more, as tables call them, or by the "
            "start of a config hash.",
        ),
    ] = None,
    runs: Runs = None,
    scenario: OneScenario = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            autocompletion=complete.columns,
            help="A column of `clbench report`, e.g. CF1 or mAP:minority.",
        ),
    ] = "mAP",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare rows seed by seed: differences, intervals, paired permutation tests, Holm's correction.

    Example: clbench compare er dlfl --scenario digits-seq
    """
    from clbench.report import compare as statistics
    from clbench.report import formats, tables
    from clbench.report.gather import gather
    from clbench.report.remarks import class_orders, marked, unlike_papers
    from clbench.store.folder import find_runs

    store, names = _apart(names or [], runs, STORE in context.meta)
    found = gather((run for run in find_runs(store, say) if scenario in (None, run.scenario)), say)
    if not found:
        raise StoreError(f"Expected runs below {store} to compare but found none; make some with `clbench run`.")
    if names and len(names) < 2:
        raise UsageError(f"Expected two rows or more to compare but got {names[0]!r} alone.")
    if names:
        chosen = [statistics.find_rows(found, names)]
    else:
        chosen = [members for table in tables.by_data(found) if len(members := _defined(table, metric)) > 1]
        if not chosen:
            raise UsageError(f"Expected a table with two rows that have {metric} but there is none below {store}.")
    results = [statistics.compare_rows(statistics.all_pairs(members), metric) for members in chosen]
    if json:
        documents = [
            {
                "scenario": members[0].first.scenario,
                "comparisons": [pair.as_json() for pair in result],
                "conclusion": statistics.conclusion(result),
            }
            for members, result in zip(chosen, results, strict=True)
        ]
        print(json_.dumps({"schema": 1, "tables": documents}, indent=2, allow_nan=False))
    else:
        built = []
        for heading, members, result in zip(tables.titles(chosen), chosen, results, strict=True):
            marks = (note.partition("] ")[2] for note in marked(members)[1])
            notes = [*class_orders(members), *unlike_papers(members), *marks]
            built.append(statistics.as_table(result, heading, notes))
        print(formats.text(built))


def _apart(names: Sequence[str], runs: Path | None, named: bool) -> tuple[Path, list[str]]:
    """The results folder and the names of rows: a first name that is a folder of runs is no row's.

    named: whether --runs was typed; then all names are rows'.
    """
    from clbench.store.folder import find_runs

    if names and not named and Path(names[0]).is_dir() and any(find_runs(Path(names[0]))):
        return Path(names[0]), list(names[1:])
    return store_at(None, runs), list(names)


def _defined(members: "Sequence[Row]", metric: str) -> "list[Row]":
    """The rows of a table that have a metric for every seed that they have done."""
    name, _, group = metric.partition(":")
    return [row for row in members if row.done and all(map(math.isfinite, row.values(name, group or None)))]
