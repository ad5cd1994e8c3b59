"""`clbench resume`: go on with runs that were interrupted, from what stands in their folders."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import DataRoot, Device, Json, Keeping
from clbench.cli.groups import grouped
from clbench.errors import StoreError
from clbench.launch.spec import Spec
from clbench.store.folder import CHECKPOINTS, DONE, FAILED, INTERRUPTED, RUNNING, Run, find_runs


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
    single = (folder / "config.json").is_file()
    runs = [Run(folder.resolve())] if single else [run for run in find_runs(folder) if resumable(run)]
    if single and runs[0].state == DONE:
        raise StoreError(f"Expected an interrupted run in {folder} but it is done; see it with `clbench report`.")
    if not runs:
        raise StoreError(f"Expected interrupted runs below {folder} but found none; see `clbench report`.")

    from clbench.cli.launching import launch

    launch([Spec.of_run(run, data_root) for run in runs], device, keeping, json=json)


def resumable(run: Run) -> bool:
    """Whether a run was stopped by something that may pass; one that still runs is found to be busy later."""
    return run.state in (RUNNING, INTERRUPTED) or (run.state == FAILED and (run.folder / CHECKPOINTS).is_dir())
