"""`clbench resume`: go on with runs that were interrupted, from what stands in their folders."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli.common import CheckpointMinutes, CheckpointSteps, DataRoot, Debug, Device, MaxTime, Workers
from clbench.errors import StoreError
from clbench.store.folder import CHECKPOINTS, DONE, FAILED, INTERRUPTED, RUNNING, Run, find_runs


def resume(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder of run folders.")],
    data_root: DataRoot = None,
    device: Device = "auto",
    checkpoint_minutes: CheckpointMinutes = 5.0,
    checkpoint_steps: CheckpointSteps = None,
    max_time: MaxTime = None,
    workers: Workers = 2,
    debug: Debug = False,
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

    from clbench.cli.cells import Cell, Launch, announce, run_cells
    from clbench.learning.engine import choose_device
    from clbench.running.resume import Schedule

    chosen = choose_device(device)
    cells = [Cell(_prepared(run, data_root), run.seed, run.out) for run in runs]
    for scenario in dict.fromkeys(cell.prepared.scenario.name for cell in cells):
        announce([cell for cell in cells if cell.prepared.scenario.name == scenario], chosen)
    run_cells(cells, Launch(chosen, Schedule(checkpoint_minutes, checkpoint_steps), workers), max_time)


def resumable(run: Run) -> bool:
    """Whether a run was stopped by something that may pass; one that still runs is found to be busy later."""
    return run.state in (RUNNING, INTERRUPTED) or (run.state == FAILED and (run.folder / CHECKPOINTS).is_dir())


def _prepared(run: Run, data_root: Path | None) -> Any:
    """The run's configuration with its data. Raises StoreError where they no longer are what they were."""
    from clbench.running.build import Prepared, build_scenario
    from clbench.running.config import resolve

    try:
        saved = run.config
        settings = {
            f"{section}.{key}": value for section, options in saved["options"].items() for key, value in options.items()
        }
        config = resolve(
            saved["scenario"], saved["strategy"], memory=saved["memory"], view=saved["view"], settings=settings
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise StoreError(
            f"Expected {run.folder / 'config.json'} to be the configuration of a run but {error!r} is wrong in it; "
            "start afresh with `clbench run --rerun`."
        ) from error
    prepared = Prepared(config, build_scenario(config, data_root))
    if prepared.config_hash != run.config_hash:
        raise StoreError(
            f"Expected {run.folder} to go on with configuration {run.config_hash} but it is {prepared.config_hash} "
            "now: the data, the weights or clbench have changed; bring them back, or use `clbench run`."
        )
    return prepared
