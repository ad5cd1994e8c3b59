"""Runs in TensorBoard, Weights & Biases or MLflow: copies for looking at; the run folders stay the truth.

Every tracker is an extra (`pip install 'clbench[tensorboard]'`) and imported when it is used. A run has two axes: what
each training step gave, over steps of the whole stream, and what the evaluation after each task gave, over tasks.
"""

import importlib.util
import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clbench.errors import StoreError, UsageError
from clbench.store.folder import DONE, Run, run_name

Values = Mapping[str, float]

STEP, TASK = "step", "task"
"""The two axes."""
BATCH = 500
"""Values that MLflow is sent at once."""


class Tracker(ABC):
    """Takes one run's numbers. name: `scenario/strategy/hash/seed0`; params: every option of the run, as text."""

    @abstractmethod
    def __init__(self, folder: Path, name: str, params: Mapping[str, str]) -> None: ...

    @abstractmethod
    def log(self, axis: str, number: int, values: Values) -> None:
        """Values at a training step of the whole stream (STEP), or after a task (TASK)."""

    @abstractmethod
    def close(self, state: str) -> None:
        """The run has ended in this state."""


class TensorBoard(Tracker):
    """Event files in `folder/name`; those of an earlier export of the run are replaced."""

    def __init__(self, folder: Path, name: str, params: Mapping[str, str]) -> None:
        from tensorboard.summary import Writer

        for old in (folder / name).glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = Writer(str(folder / name))

    def log(self, axis: str, number: int, values: Values) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, number)

    def close(self, state: str) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """A run of the project `clbench`; offline unless WANDB_MODE says otherwise (`wandb sync` sends it later)."""

    def __init__(self, folder: Path, name: str, params: Mapping[str, str]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project="clbench",
            id=name.replace("/", "-"),
            name=name,
            group=name.rpartition("/")[0],
            config=dict(params),
            dir=str(folder),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        # An axis of its own for each kind: wandb's own step may never go back.
        self._run.define_metric("train/*", step_metric=STEP)
        for prefix in ("eval", "final"):
            self._run.define_metric(f"{prefix}/*", step_metric=TASK)

    def log(self, axis: str, number: int, values: Values) -> None:
        self._run.log({**values, axis: number})

    def close(self, state: str) -> None:
        self._run.summary["state"] = state
        self._run.finish(exit_code=0 if state == DONE else 1)


class MLflow(Tracker):
    """A run of the scenario's experiment, at MLFLOW_TRACKING_URI or in files below the folder."""

    def __init__(self, folder: Path, name: str, params: Mapping[str, str]) -> None:
        # MLflow refuses its own file store unless asked; skinny MLflow has no other without a server.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient

        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or folder.resolve().as_uri())
        scenario, _, rest = name.partition("/")
        found = self._client.get_experiment_by_name(scenario)
        experiment = found.experiment_id if found else self._client.create_experiment(scenario)
        for old in self._client.search_runs([experiment], f"tags.`clbench.run` = '{name}'"):
            self._client.delete_run(old.info.run_id)  # an earlier export of the same run
        self._id = self._client.create_run(experiment, run_name=rest, tags={"clbench.run": name}).info.run_id
        for key, value in params.items():
            self._client.log_param(self._id, key, value[:500])
        self._waiting: list[Any] = []

    def log(self, axis: str, number: int, values: Values) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, number) for key, value in values.items()]
        if len(self._waiting) >= BATCH:
            self._flush()

    def close(self, state: str) -> None:
        self._flush()
        self._client.set_tag(self._id, "clbench.state", state)
        self._client.set_terminated(self._id, "FINISHED" if state == DONE else "FAILED")

    def _flush(self) -> None:
        for start in range(0, len(self._waiting), BATCH):
            self._client.log_batch(self._id, metrics=self._waiting[start : start + BATCH])
        self._waiting.clear()


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def require(kind: str) -> type[Tracker]:
    """The tracker of that name. Raises UsageError, with the command that installs it, where it is not installed."""
    if importlib.util.find_spec(kind) is None:
        raise UsageError(f"Expected {kind} to be installed but it is not; run `pip install 'clbench[{kind}]'`.")
    return TRACKERS[kind]


def export(run: Run, kind: str, folder: Path) -> None:
    """Copy a run's numbers from its folder into a tracker.

    Raises:
        UsageError: the tracker is not installed. StoreError: a file of the run is damaged.
    """
    tracker = require(kind)(folder, run_name(run), params(run.config))
    try:
        for step, values in training_values(run):
            tracker.log(STEP, step, values)
        if run.state == DONE:
            log_evaluations(run, tracker)
    finally:
        tracker.close(run.state)


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every option of a run as text: `train.lr` -> `0.001`."""
    found = {name: str(config[name]) for name in ("scenario", "strategy", "memory", "view") if name in config}
    for section, options in config["options"].items():
        found |= {f"{section}.{name}": str(value) for name, value in options.items()}
    return found


def training_values(run: Run) -> Iterator[tuple[int, dict[str, float]]]:
    """Every training step's numbers from events.jsonl, steps counted over the whole stream.

    Raises:
        StoreError: a line that is no JSON.
    """
    file = run.folder / "events.jsonl"
    step = 0
    try:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "step":
                    names = event.keys() - {"event", "task", "step"}
                    yield step, {f"train/{name}": float(event[name]) for name in sorted(names)}
                    step += 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise StoreError(f"Expected {file} to hold one JSON object on each line but got: {error!r}.") from error


def log_evaluations(run: Run, tracker: Tracker) -> None:
    """The metrics after each task, and after the last one all that the report has."""
    overall = run.metrics["overall"]
    for task, values in enumerate(overall):
        tracker.log(TASK, task, {f"eval/{name}": v for name, v in values.items() if _is_number(v)})
    final = {f"final/{name}": v for name, v in run.metrics["final"].items() if _is_number(v)}
    tracker.log(TASK, len(overall) - 1, final)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
