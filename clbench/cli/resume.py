"""`clbench resume`: go on with runs that were interrupted, from what stands in their folders."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import DataRoot, Device, Json, Keeping
from clbench.cli.groups import grouped
from clbench.errors import StoreError
from clbench.launch.spec import Spec
from clbench.store.folder import CHECKPOINTS, DONE, FAILED, INTERRUPTED, RUNNING, Run, find_runs
from clbench.terminal import say


@grouped
def resume(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder of run folders.")],
    data_root: DataRoot = None,
    device: Device = "auto",
    json: Json = False,
    *,
    keeping: Keeping,
) -> None:
    """Go on with an interrupted run, or with all of them, from the last checkpoint.

    Example: clbench resume results/runs
    """
    single = os.path.isfile(folder / "config.json")
    if single and Run(folder.resolve()).state == DONE:
        raise StoreError(f"Expected an interrupted run in {folder} but it is done; see it with `clbench report`.")
    if single:
        specs = [Spec.of_run(Run(folder.resolve()), data_root)]
    else:
        specs = [spec for run in find_runs(folder, say) if (spec := _to_go_on(run, data_root))]
    if not specs:
        raise StoreError(f"Expected interrupted runs below {folder} but found none; see `clbench report`.")

    from clbench.cli.launching import launch

    launch(specs, device, keeping, json=json, recorded=False)


def _to_go_on(run: Run, data_root: Path | None) -> Spec | None:
    """What is left of a run among others; one that cannot be read is said, and keeps none of them from going on."""
    try:
        return Spec.of_run(run, data_root) if resumable(run) else None
    except StoreError as error:
        say(f"{error} It is left out.")
        return None


def resumable(run: Run) -> bool:
    """Whether a run was stopped by something that may pass; one that still runs is found to be busy later."""
    return run.state in (RUNNING, INTERRUPTED) or (run.state == FAILED and (run.folder / CHECKPOINTS).is_dir())
