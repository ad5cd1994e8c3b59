"""`clbench compare`: which differences between rows hold up."""

import json as json_
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli.common import Debug, Json, Runs
from clbench.errors import StoreError, UsageError
from clbench.files import DEFAULT_OUT
from clbench.terminal import say

if TYPE_CHECKING:
    from clbench.report.rows import Row


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Two rows or more: strategy, label or the start of a config hash.  [default: each pair of each table]"
        ),
    ] = None,
    runs: Runs = DEFAULT_OUT,
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    metric: Annotated[str, typer.Option(help="A column of `clbench report`, e.g. CF1 or mAP:minority.")] = "mAP",
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

    found = gather((run for run in find_runs(runs, say) if scenario in (None, run.scenario)), say)
    if not found:
        raise StoreError(f"Expected runs below {runs} to compare but found none; make some with `clbench run`.")
    if names and len(names) < 2:
        raise UsageError(f"Expected two rows or more to compare but got {names[0]!r} alone.")
    if names:
        chosen = [[statistics.find_row(found, name) for name in names]]
    else:
        chosen = [members for table in tables.by_data(found) if len(members := _defined(table, metric)) > 1]
        if not chosen:
            raise UsageError(f"Expected a table with two rows that have {metric} but there is none below {runs}.")
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
        for members, result in zip(chosen, results, strict=True):
            marks = (note.partition("] ")[2] for note in marked(members)[1])
            notes = [*class_orders(members), *unlike_papers(members), *marks]
            built.append(statistics.as_table(result, tables.title(members[0]), notes))
        print(formats.text(built))


def _defined(members: "Sequence[Row]", metric: str) -> "list[Row]":
    """The rows of a table that have a metric for every seed that they have done."""
    name, _, group = metric.partition(":")
    return [row for row in members if row.done and all(map(math.isfinite, row.values(name, group or None)))]
