"""`clbench export`: run folders into TensorBoard, Weights & Biases or MLflow."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Debug, Runs
from clbench.errors import StoreError
from clbench.files import DEFAULT_OUT
from clbench.terminal import say


class Kind(StrEnum):
    """What `export` and `--track` take."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


def export(
    kind: Annotated[Kind, typer.Argument(help="The tracker.")],
    runs: Runs = DEFAULT_OUT,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the tracker's files.  [default: beside --runs]", show_default=False)
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    debug: Debug = False,
) -> None:
    """Copy runs into a tracker: every training step, the metrics after each task. The run folders stay the truth.

    Example: clbench export tensorboard && tensorboard --logdir results/tensorboard
    """
    from clbench.store.folder import find_runs, run_name
    from clbench.trackers.export import export as export_run
    from clbench.trackers.export import require

    require(kind)
    folder = out or runs.parent / kind
    found = [run for run in find_runs(runs) if scenario in (None, run.scenario)]
    if not found:
        raise StoreError(f"Expected runs below {runs} to export but found none; make some with `clbench run`.")
    for run in found:
        export_run(run, kind, folder)
        print(run_name(run))
    say(f"{len(found)} run(s) in {folder}")
