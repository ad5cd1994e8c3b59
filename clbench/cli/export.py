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
    from clbench.trackers.export import export as export_run
    from clbench.trackers.export import require

    require(kind)
    source = store_at(store, runs)
    folder = out or source.parent / kind
    found = [run for run in find_runs(source) if scenario in (None, run.scenario)]
    if not found:
        raise StoreError(f"Expected runs below {source} to export but found none; make some with `clbench run`.")
    for run in found:
        export_run(run, kind, folder)
        if not json:
            print(run_name(run))
    if json:
        document = {"tracker": kind.value, "folder": str(folder), "runs": [run_name(run) for run in found]}
        print(json_.dumps(document, indent=2))
    say(f"{len(found)} run(s) in {folder}")
