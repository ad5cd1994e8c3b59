"""`clbench export`: run folders into TensorBoard, Weights & Biases or MLflow."""

import json as json_
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Debug, Json, OneScenario, Runs, Store, store_at
from clbench.errors import StoreError
from clbench.terminal import say


class Kind(StrEnum):
    """What `export` and `--track` take."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


def export(
    kind: Annotated[Kind, typer.Argument(help="The tracker.")],
    store: Store = None,
    runs: Runs = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the tracker's files.", show_default="beside STORE")
    ] = None,
    scenario: OneScenario = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy runs into a tracker: every training step, the metrics after each task. The run folders stay the truth.

    Example: clbench export tensorboard results/runs
    """
    from clbench.store.folder import find_runs, run_name
    from clbench.store.verify import check
    from clbench.trackers.export import export as export_run
    from clbench.trackers.export import require

    require(kind)
    source = store_at(store, runs)
    folder = out or source.parent / kind
    found = [run for run in find_runs(source, say) if scenario in (None, run.scenario)]
    if not found:
        raise StoreError(f"Expected runs below {source} to export but found none; make some with `clbench run`.")
    copied = []
    for run in found:
        try:
            check(run)
            export_run(run, kind, folder)
            copied.append(run_name(run))
            if not json:
                print(copied[-1])
        except OSError as error:
            raise StoreError(f"Expected to write to {folder} but got: {error}; choose another with --out.") from error
        except StoreError as error:
            say(f"{error} It is left out.")
    if json:
        print(json_.dumps({"tracker": kind.value, "folder": str(folder), "runs": copied}, indent=2))
    say(f"{len(copied)} run(s) in {folder}")
    if len(copied) < len(found):
        raise typer.Exit(StoreError.exit_code)
