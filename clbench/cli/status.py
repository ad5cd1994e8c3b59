"""`clbench status`: where the runs of a results folder stand, and what is still to come; from the folder alone."""

import json as json_
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli.common import Debug, Json, Runs, Store, store_at
from clbench.launch.standing import TO_COME, Left, Standing, Standings, age, left
from clbench.report.cells import EMPTY
from clbench.report.formats import text
from clbench.report.tables import Table
from clbench.store.folder import DONE, RUNNING
from clbench.store.plans import NEW
from clbench.terminal import duration, printable, say, width

CLEAR = "\x1b[H\x1b[2J"
"""What empties a terminal."""
MOST = 20
"""Stopped runs that are listed."""


def status(
    store: Store = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until all runs have ended.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often --watch looks.")] = 5.0,
    json: Json = False,
    runs: Runs = None,
    debug: Debug = False,
) -> None:
    """Tell where the runs of a results folder stand, what runs now and how far, and how long the rest will take.

    On any machine that sees the folder. Runs that are not yet begun are those of its plans, which `clbench run` and
    `clbench sweep` write before the first run of a list.

    Example: clbench status results/runs --watch
    """
    out = store_at(store, runs)
    standings = Standings(out, say)
    while True:
        found = standings.look()
        if json:
            print(json_.dumps(as_json(out, found), indent=None if watch else 2), flush=True)
        else:
            clear = CLEAR if watch and sys.stdout.isatty() else ""
            print(clear + "\n".join(_lines(out, found)) + ("\n" if watch else ""), flush=True)
        if not watch or not any(each.state in TO_COME for each in found):
            return
        time.sleep(every)


def as_json(out: Path, found: list[Standing]) -> dict[str, Any]:
    rest = left(found)
    return {
        "schema": 1,
        "store": str(out),
        "states": dict(Counter(each.state for each in found)),
        "seconds_left": rest.seconds,
        "runs_left": rest.runs,
        "runs_of_unknown_time": rest.unknown,
        "runs": [each.as_json() for each in found],
    }


def _lines(out: Path, found: list[Standing]) -> Iterator[str]:
    """What a person reads: how many are in which state, those that run, and why others have stopped."""
    counts = Counter(each.state for each in found)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    yield _folded(f"{len(found)} run(s) in {out}: {states or 'none'}{_ending(left(found), counts[RUNNING])}")
    if running := [each for each in found if each.state == RUNNING]:
        headings = ("running", "task", "step", "img/s", "left", "process", "beat")
        yield text([Table("", headings, tuple(map(_line, running)))])
    if stopped := [each for each in found if each.state not in (RUNNING, NEW, DONE)]:
        yield ""
        yield from (_folded(f"{run.called}: {run.state}: {run.reason}") for run in stopped[:MOST])
        if len(stopped) > MOST:
            yield f"and {len(stopped) - MOST} more, which --json lists"


def _folded(line: str) -> str:
    return textwrap.fill(printable(line), width(), subsequent_indent="  ", break_on_hyphens=False)


def _ending(rest: Left, running: int) -> str:
    """When all will be done, as far as is known."""
    if not rest.runs:
        return ""
    if rest.unknown == rest.runs:
        return "; nothing tells yet how long the rest takes"
    least = f"at least {duration(rest.seconds)}" if rest.unknown else f"about {duration(rest.seconds)}"
    more = f", without {rest.unknown} run(s) of unknown time" if rest.unknown else ""
    return f"; {least} left with {max(1, running)} at once{more}"


def _line(run: Standing) -> tuple[str, ...]:
    called = run.called.replace(" seed ", " seed\N{NO-BREAK SPACE}")  # a number by itself on a line says nothing
    beat, since = run.beat, age(run.beat)
    if beat is None or since is None:
        return (called, *[EMPTY] * 6)
    return (
        called,
        f"{beat.task}/{beat.tasks}" if beat.tasks else EMPTY,
        f"{beat.step}/{beat.steps}" if beat.tasks else EMPTY,
        EMPTY if beat.images_per_second is None else f"{beat.images_per_second:.0f}",
        EMPTY if run.left is None else duration(run.left),
        f"{beat.pid} on {beat.host}",
        f"{duration(since)}{' !' if beat.stale() else ''}",
    )
