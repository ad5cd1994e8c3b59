"""`clbench export`: run folders into TensorBoard, Weights & Biases or MLflow."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Debug, Out
from clbench.errors import StoreError
from clbench.files import DEFAULT_OUT


class Kind(StrEnum):
    """What `export` and `--track` take."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


def export(
    kind: Annotated[Kind, typer.Argument(help="The tracker.")],
    out: Out = DEFAULT_OUT,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the tracker's files.  [default: beside --out]", show_default=False)
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    debug: Debug = False,
) -> None:
    """Copy runs into a tracker: every training step, the metrics after each task. The run folders stay the truth.

    Example: clbench export tensorboard && tensorboard --logdir results/tensorboard
    """
    from clbench.export import export as export_run
    from clbench.export import require
    from clbench.records import find_runs
    from clbench.store import run_name

    require(kind)
    folder = to or out.parent / kind
    runs = [run for run in find_runs(out) if scenario in (None, run.scenario)]
    if not runs:
        raise StoreError(f"Expected runs below {out} to export but found none; make some with `clbench run`.")
    for run in runs:
        export_run(run, kind, folder)
        print(run_name(run))
    print(f"{len(runs)} run(s) in {folder}", file=sys.stderr)
