"""`clbench list runs`, `clbench show RUN` and `clbench merge`: what is in a store, and several stores made one."""

import json as json_
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clbench.cli.common import Debug, Json, Out
from clbench.files import DEFAULT_OUT
from clbench.terminal import say

if TYPE_CHECKING:
    from clbench.store.folder import Run


def records(runs: "Iterable[Run]") -> list[dict[str, Any]]:
    """What JSON says of each run: what it is, its state, its mAP where it is done, and where it stands."""
    from clbench.report.gather import gather

    listed: list[dict[str, Any]] = []
    for row in gather(runs, say):
        values = row.by_seed("mAP")
        for run in row.runs:
            listed.append(
                {
                    "scenario": run.scenario,
                    "strategy": run.strategy,
                    "label": row.label,
                    "config_hash": run.config_hash,
                    "seed": run.seed,
                    "state": run.state,
                    "reason": run.status["reason"],
                    "view": row.view,
                    "mAP": values.get(run.seed),
                    "folder": str(run.folder),
                }
            )
    return listed


def list_runs(out: Path, json: bool) -> None:
    """Print every run below a results folder."""
    from clbench.report import formats
    from clbench.report.cells import EMPTY, percent
    from clbench.report.tables import Table, seen
    from clbench.store.folder import find_runs

    listed = records(find_runs(out, say))
    if json:
        print(json_.dumps({"runs": listed}, indent=2))
        return
    cells = tuple(
        (
            run["label"] + seen(run["view"]),
            run["scenario"],
            f"{run['config_hash']}/seed{run['seed']}",
            run["state"],
            EMPTY if run["mAP"] is None else percent(run["mAP"]),
        )
        for run in listed
    )
    heading = f"{len(listed)} run(s) below {out}"
    print(formats.text([Table(heading, ("strategy", "scenario", "run", "state", "mAP %"), cells)]))


def show_run(out: Path, name: str, json: bool) -> bool:
    """Print the card of the run that a name stands for; False where it stands for none."""
    from clbench.report import card
    from clbench.store.folder import find_run
    from clbench.store.verify import check

    run = find_run(out, name)
    if run is None:
        return False
    check(run)
    print(json_.dumps(card.as_json(run), indent=2) if json else card.card(run))
    return True


def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SRC...", help="Results folders, or archives of `clbench pack`.")
    ],
    out: Out = DEFAULT_OUT,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the runs of several results folders and copy them into one; what is done there is never overwritten.

    Example: clbench merge laptop/runs cluster.zip --out results/runs
    """
    from dataclasses import asdict

    from clbench.store import merge

    merged = merge.merge(sources, out)
    if json:
        print(json_.dumps(asdict(merged), indent=2))
    else:
        for what in ("copied", "same", "replaced", "outdated"):
            for name in getattr(merged, what):
                print(f"{what:8} {name}")
        for name, reason in merged.refused.items():
            print(f"refused  {name}: {reason}")
        for name, reason in merged.damaged.items():
            print(f"damaged  {name}: {reason}")
    counts = {name: len(found) for name, found in asdict(merged).items()}
    say(", ".join(f"{count} {name}" for name, count in counts.items()))
    if not merged.whole:
        raise typer.Exit(5)
