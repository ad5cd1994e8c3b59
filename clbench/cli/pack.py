"""`clbench pack`: finished runs as one file, to be handed in."""

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Debug, Json, OneScenario, OneStrategy, Runs, Store, store_at
from clbench.errors import StoreError
from clbench.terminal import say


def pack(
    store: Store = None,
    runs: Runs = None,
    out: Annotated[Path | None, typer.Option(help="The archive.", show_default="STORE.zip, beside it")] = None,
    scenario: OneScenario = None,
    strategy: OneStrategy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Pack the finished runs of a results folder into one file, with all that `clbench verify FILE` needs.

    Without checkpoints and caches. Names each run that is left out, and ends with 5 where one is damaged.

    Example: clbench pack results/runs --out mine.zip
    """
    from dataclasses import asdict

    from clbench.store import archive
    from clbench.store.folder import find_runs

    folder = store_at(store, runs)
    file = out or folder.with_name(f"{folder.resolve().name}{archive.SUFFIX}")
    found = (run for run in find_runs(folder, say) if scenario in (None, run.scenario))
    packed = archive.pack((run for run in found if strategy in (None, run.strategy)), file)
    for name, why in (packed.unfinished | packed.damaged).items():
        say(f"left out, {megabytes(packed.sizes[name])}: {name}: {why}")
    if json:
        print(json_.dumps({"archive": str(file)} | asdict(packed), indent=2))
    else:
        print("\n".join(packed.packed))
    counts = f"{len(packed.unfinished)} not done and {len(packed.damaged)} damaged left out"
    say(f"{len(packed.packed)} run(s) in {file}, {megabytes(packed.size)}; {counts}")
    if packed.damaged:
        raise typer.Exit(StoreError.exit_code)


def megabytes(size: int) -> str:
    """`1.2 MB`."""
    return f"{size / 1e6:.1f} MB"
