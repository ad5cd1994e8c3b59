"""Going on with a run: what its state is, when it is written, and how a strategy gets it back.

The state is the strategy's own, PyTorch's random state, how far the run is, and how much of the run folder's record
belongs to it. Sample order is a function of (seed, task, epoch), so the place in it is one integer.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clbench.errors import StoreError
from clbench.files import sha256
from clbench.learning.batch import Values
from clbench.learning.listener import Evaluation, Listener
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import Progress
from clbench.running.recording import Recorder
from clbench.running.stops import Requests
from clbench.scenario.samples import Samples
from clbench.store import checkpoint
from clbench.store.checkpoint import Checkpoint, Damaged
from clbench.store.folder import CHECKPOINTS, RunWriter

EVALUATION_VALUES = [field.name for field in fields(Evaluation) if field.name != "logits"]
"""What a checkpoint holds of an evaluation; its logits stand in the run folder."""


@dataclass(frozen=True)
class Schedule:
    """When checkpoints are written, besides at the end of each task but the last.

    minutes: since the last one. steps: since the last one; None for no such rule.
    """

    minutes: float = 5.0
    steps: int | None = None


class WhilePreparing(Listener):
    """Stops the run on request while the maps of a frozen backbone are computed: they are kept as they come.

    seconds: what they took.

    Raises:
        Stopped: nothing had to be written.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.seconds = 0.0

    def features(self, done: int, total: int) -> None:
        if stop := self._requests.stop():
            raise stop

    def features_ready(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True)
class Saver:
    """Writes a run's state as a checkpoint, with the record that belongs to it. identity: see `latest`."""

    recorder: Recorder
    strategy: Strategy
    progress: Progress
    identity: Mapping[str, Any]

    def save(self, step: int) -> None:
        """step: of all tasks together. Of a strategy that cannot be resumed only the record is brought up to date.

        Raises:
            Diverged: a number is not finite, so a run that has diverged is never checkpointed.
        """
        self.recorder.flush()
        if not self.strategy.resumable:
            return
        writer = self.recorder.writer
        state = {
            "identity": dict(self.identity),
            "progress": _progress(self.progress),
            "record": _record(writer, len(self.progress.evaluations)),
            "random": _random_state(self.strategy.device),
            "strategy": self.strategy.state(),
        }
        checkpoint.write(writer.folder / CHECKPOINTS, step, state, writer.check)


class Checkpointer(Listener):
    """Has checkpoints written on schedule and on request, and stops the run on request.

    save: writes one of a step. step: those of all tasks that are done.

    Raises:
        Stopped: after a checkpoint.
    """

    def __init__(self, save: Callable[[int], None], schedule: Schedule, requests: Requests, step: int = 0) -> None:
        self._save, self._schedule, self._requests = save, schedule, requests
        self._step = self._written = step
        self._written_at = time.monotonic()

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self._tasks = tasks

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._step += 1
        stop = self._requests.stop()
        if stop or self._requests.take_checkpoint() or self._due():
            self._write()
        if stop:
            self._requests.settled()
            raise stop

    def evaluating(self, task: int, done: int, total: int) -> None:
        if self._requests.pending() and (stop := self._requests.stop()):
            self._write()  # of a task that is learned: this evaluation is made again
            self._requests.settled()
            raise stop

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        if task + 1 == self._tasks:
            return  # the run is as good as done
        self._write()
        if stop := self._requests.stop():
            self._requests.settled()
            raise stop

    def _due(self) -> bool:
        steps = self._schedule.steps
        if steps is not None and self._step - self._written >= steps:
            return True
        return time.monotonic() - self._written_at >= 60 * self._schedule.minutes

    def _write(self) -> None:
        self._save(self._step)
        self._written, self._written_at = self._step, time.monotonic()


def latest(
    folder: Path, identity: Mapping[str, Any], device: torch.device, say: Callable[[str], None]
) -> Checkpoint | None:
    """The last whole checkpoint of a run folder, if there is one. say: is told of damaged ones.

    Raises:
        StoreError: it is one of another configuration, other data, another seed or kind of device.
    """
    found = checkpoint.latest(folder / CHECKPOINTS, device, partial(_check_record, folder), say)
    for name, expected in identity.items() if found else ():
        got = found.state["identity"].get(name) if found else None
        if got != expected:
            raise StoreError(
                f"Expected the checkpoint in {folder} to be of {name} {expected} but it is of {got}; start afresh "
                "with --rerun."
            )
    return found


def restore(found: Checkpoint, strategy: Strategy, folder: Path) -> Progress:
    """Give a strategy, and PyTorch's generators, the state in a checkpoint; returns where the run is."""
    state = found.state
    strategy.load_state(state["strategy"])
    torch.set_rng_state(state["random"]["cpu"])
    if state["random"]["cuda"] is not None:
        torch.cuda.set_rng_state(state["random"]["cuda"], strategy.device)
    progress = state["progress"]
    evaluations = [
        Evaluation(np.load(_logits(folder, number), allow_pickle=False), **values)
        for number, values in enumerate(progress["evaluations"])
    ]
    done = {name: progress[name] for name in ("task", "step", "train_seconds", "feature_seconds")}
    return Progress(evaluations=evaluations, learned=progress.get("learned", False), **done)


def _progress(progress: Progress) -> dict[str, Any]:
    evaluations = [
        {name: getattr(evaluation, name) for name in EVALUATION_VALUES} for evaluation in progress.evaluations
    ]
    return {
        "task": progress.task,
        "step": progress.step,
        "train_seconds": progress.train_seconds,
        "feature_seconds": progress.feature_seconds,
        "learned": progress.learned,
        "evaluations": evaluations,
    }


def _random_state(device: torch.device) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _record(writer: RunWriter, evaluations: int) -> dict[str, Any]:
    """How much of the run folder belongs to this state, with sums."""
    written = writer.events_written()
    logits = [sha256(_logits(writer.folder, number)) for number in range(evaluations)]
    return {"events": written, "events_sha256": _events_sum(writer.folder, written), "logits": logits}


def _check_record(folder: Path, state: Mapping[str, Any]) -> None:
    record = state["record"]
    try:
        if _events_sum(folder, record["events"]) != record["events_sha256"]:
            raise Damaged(f"Expected {folder / 'events.jsonl'} to be as the checkpoint knows it but it differs.")
        for number, expected in enumerate(record["logits"]):
            if sha256(_logits(folder, number)) != expected:
                raise Damaged(f"Expected {_logits(folder, number)} to be as the checkpoint knows it but it differs.")
    except OSError as error:
        raise Damaged(f"Expected the record in {folder} to be there but got: {error}.") from error


def _events_sum(folder: Path, size: int) -> str:
    with open(folder / "events.jsonl", "rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def _logits(folder: Path, task: int) -> Path:
    return folder / "logits" / f"task{task}.npy"
