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
    from clbench.store.verify import check
    from clbench.trackers.export import export as export_run
    from clbench.trackers.export import require

    require(kind)
    folder = out or runs.parent / kind
    found = [run for run in find_runs(runs, say) if scenario in (None, run.scenario)]
    if not found:
        raise StoreError(f"Expected runs below {runs} to export but found none; make some with `clbench run`.")
    left_out = 0
    for run in found:
        try:
            check(run)
            export_run(run, kind, folder)
            print(run_name(run))
        except OSError as error:
            raise StoreError(f"Expected to write to {folder} but got: {error}; choose another with --out.") from error
        except StoreError as error:
            left_out += 1
            say(f"{error} It is left out.")
    say(f"{len(found) - left_out} run(s) in {folder}")
    if left_out:
        raise typer.Exit(StoreError.exit_code)
