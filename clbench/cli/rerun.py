"""`clbench rerun`: runs that somebody handed in, executed a second time into a results folder of one's own."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli.common import (
    DataRoot,
    Device,
    Json,
    Keeping,
    OneScenario,
    OneStrategy,
    Settings,
    parse_seeds,
    parse_settings,
)
from clbench.cli.groups import grouped
from clbench.errors import StoreError, UsageError
from clbench.launch.spec import Spec
from clbench.store.archive import opened
from clbench.store.folder import DONE, Run, find_runs
from clbench.terminal import say


@grouped
def rerun(
    source: Annotated[Path, typer.Argument(help="Folder of run folders, or an archive of `clbench pack`.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of run folders, another than SOURCE.")],
    scenario: OneScenario = None,
    strategy: OneStrategy = None,
    seed: Annotated[str | None, typer.Option(metavar="SEEDS", help="Only these: 0, 0..4 or 0,2,5.")] = None,
    settings: Settings = None,
    files: Annotated[
        bool,
        typer.Option("--plugin-files", help="Execute the plugins that came with the runs: somebody's code. Read it."),
    ] = False,
    data_root: DataRoot = None,
    device: Device = "auto",
    json: Json = False,
    *,
    keeping: Keeping,
) -> None:
    """Run finished runs again, from their configurations, for `clbench verify SOURCE --against OUT` to compare.

    Data and code must come to the same configuration hash. --set names paths that are others here (splits, weights).

    Example: clbench rerun theirs.zip --seed 0 --out results/again
    """
    if os.path.exists(out) and os.path.exists(source) and out.samefile(source):
        raise UsageError(f"Expected --out to be another folder than {source}; its runs are there already.")
    seeds = None if seed is None else parse_seeds(seed)
    with opened(source) as folder:
        found = [run for run in find_runs(folder, say) if scenario in (None, run.scenario)]
        wanted = [run for run in found if strategy in (None, run.strategy) and (seeds is None or run.seed in seeds)]
        specs = _specs(wanted, data_root, files)
        if not specs:
            raise StoreError(f"Expected finished runs in {source} to run again but found none that can be.")
        here = parse_settings(settings)
        specs = [replace(spec, out=out, settings={**spec.settings, **here}) for spec in specs]

        from clbench.cli.launching import launch

        launch(specs, device, keeping, json=json)


def _specs(runs: Iterable[Run], data_root: Path | None, files: bool) -> list[Spec]:
    """What gives each finished run again; one that cannot be is said. files: plugins from the runs' copies of them."""
    specs: list[Spec] = []
    same: dict[tuple[str, str], str] = {}
    for run in runs:
        try:
            if run.state == DONE:
                spec = Spec.of_run(run, data_root, copies=files)
                known = {kind: (kind, each["sha256"]) for kind, each in run.config.get("plugins", {}).items()}
                paths: dict[str, Any] = {kind: same.setdefault(key, getattr(spec, kind)) for kind, key in known.items()}
                specs.append(replace(spec, **paths))  # each seed has a copy, but one name is one file
        except StoreError as error:
            say(f"{error} It is left out.")
    return specs
