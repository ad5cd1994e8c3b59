"""`clbench plan`: what a list of runs is, how long it will take and what memory, before any of it is run."""

import json as json_
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clbench.cli.common import Debug, Device, Json, Out
from clbench.cli.groups import grouped
from clbench.cli.sweep import Listed
from clbench.cli.what import Recipe
from clbench.files import DEFAULT_OUT
from clbench.terminal import duration, say

if TYPE_CHECKING:
    from clbench.launch.outcome import Failure
    from clbench.launch.plan import Planned


@grouped
def plan(
    context: typer.Context,
    listed: Listed,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    recipe: Recipe = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what `clbench run` and `clbench sweep` would do: each run's state, and its time and memory, estimated.

    From runs of the same kind in the results folder, else from a few first steps. Nothing is run, nothing written.

    Example: clbench plan --strategy er,dlfl --memory prs --seed 0..4
    """
    specs = listed.specs(context, out, recipe)

    from clbench.cli.announcing import Announcer
    from clbench.cli.launching import exit_code
    from clbench.launch.cells import Builder, built, distinct
    from clbench.launch.outcome import Outcome
    from clbench.launch.plan import plan as make
    from clbench.learning.engine import choose_device
    from clbench.running.execute import How

    choose_device(device)
    announcer = Announcer(How(device), debug)
    cells, failures = built(specs, [spec.config() for spec in specs], Builder(announcer))
    for failure in failures:
        announcer.failed(failure)
    planned = make(distinct(cells), How(device), lambda cell, error: say(f"{cell}: no estimate: {error}"))
    print(json_.dumps(as_json(planned, failures), indent=2) if json else shown(planned, out))
    if code := exit_code(Outcome(failures=failures)):
        raise typer.Exit(code)


def as_json(planned: "Sequence[Planned]", failures: "Sequence[Failure]") -> dict[str, Any]:
    from clbench.launch.plan import by_jobs

    return {
        "schema": 1,
        "cells": [each.as_json() for each in planned],
        "failed": [{"cell": str(failure.spec), "error": str(failure.error)} for failure in failures],
        "totals": by_jobs(planned),
    }


def shown(planned: "Sequence[Planned]", out: Path) -> str:
    """As tables: the runs, those of one method and state on one line, then what they take together."""
    from clbench.launch.plan import by_jobs
    from clbench.report.cells import EMPTY
    from clbench.report.formats import text
    from clbench.report.tables import Table

    def line(each: "Planned") -> tuple[str, ...]:
        estimate = each.estimate
        return (
            each.cell.method,
            each.state,
            EMPTY if each.left is None else duration(each.left),
            EMPTY if estimate is None or estimate.memory_bytes is None else _size(estimate.memory_bytes),
            EMPTY if estimate is None else estimate.source,
        )

    lines: dict[tuple[str, ...], list[int]] = {}
    for each in planned:
        lines.setdefault(line(each), []).append(each.cell.spec.seed)
    cells = tuple((key[0], _seeds(seeds), *key[1:]) for key, seeds in lines.items())
    counts = Counter(each.state for each in planned)
    heading = f"{len(planned)} run(s) in {out}: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    tables = [Table(heading, ("run", "seed", "state", "each", "memory", "from"), cells)]
    totals = tuple(
        (str(t["jobs"]), duration(t["seconds"]), _size(t["memory_bytes"]) if t["memory_bytes"] else EMPTY)
        for t in by_jobs(planned)
    )
    unknown = sum(each.left is None for each in planned)
    note = (f"Without {unknown} run(s) of unknown time.",) if unknown else ()
    if totals:
        tables.append(Table("All that is left, by processes at once", ("jobs", "time", "memory"), totals, note))
    return text(tables)


def _seeds(seeds: Sequence[int]) -> str:
    """`0..4` where they follow one another, else `0,2,5`."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}..{seeds[-1]}"
    return ",".join(map(str, seeds))


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 0.95 * 2**30 else f"{count / 2**20:.0f} MB"
