"""A run's record: how it began, every step's numbers, the metrics from the saved logits, and how it ended."""

import math
import shutil
import sys
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clbench import metrics, plugins
from clbench.arrays import IntArray
from clbench.errors import StoreError
from clbench.learning.batch import Values
from clbench.learning.engine import Lost
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.strategy import Strategy
from clbench.learning.tally import COUNTS
from clbench.learning.trainer import Progress
from clbench.running import environment
from clbench.running.build import Prepared
from clbench.running.recipe import COPY
from clbench.running.stops import Stopped, passing, reason
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario
from clbench.store.folder import (
    CHECKPOINTS,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    RunWriter,
    finished,
    plugin_copy,
)

FLUSH_EVERY = 50
"""Steps between two readings of the losses: each reading waits for the device."""


def begin(writer: RunWriter, prepared: Prepared, seed: int, device: torch.device, resumed_after: int | None) -> None:
    """config.json, env.json and what is known before the first step. resumed_after: the checkpoint's step."""
    writer.keep_room()
    config, scenario = prepared.config, prepared.scenario
    joint = plugins.load("strategy", config.strategy).joint  # so that reports know a bound that never got done
    known = {"seed": seed, "joint": joint, "protocol": dict(scenario.protocol), "paper": prepared.paper}
    known |= {"identity": prepared.hashed}  # so that the folder's name can be checked without any plugin
    writer.json("config.json", {**config.resolved(), **known})
    if config.recipe:
        writer.text(COPY, config.recipe.text)
    else:
        (writer.folder / COPY).unlink(missing_ok=True)  # of an interrupted run that had one
    for kind, plugin in config.files.items():
        writer.copy(plugin_copy(kind, plugin.filename), plugin.content or b"")
    env = environment.record(device)
    env |= {
        "manifest": prepared.manifest,
        "weights": prepared.weights,
        "freeze": config.options["model"].freeze,
        **({"plugin_files": {kind: str(plugin.file) for kind, plugin in config.files.items()}} if config.files else {}),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "resumed_after_step": resumed_after,
    }
    if prepared.modified:
        env["images_modified"] = prepared.modified
    writer.json("env.json", env)
    if scenario.absent:
        writer.text("absent.txt", "".join(f"{path}\n" for path in scenario.absent))
    write_truth(writer, scenario)
    writer.status(RUNNING)


def write_truth(writer: RunWriter, scenario: Scenario) -> None:
    """What the logits are scored against: labels, which of them count, and which images are each task's."""
    test = scenario.test_indices()
    writer.array("labels", scenario.tested(test))
    if scenario.scored is not None:
        writer.array("scored", scenario.scored[test])
    if sum(len(task.test) for task in scenario) > len(test):
        writer.array("tested", np.array([np.isin(test, task.test) for task in scenario]))


def interrupted(writer: RunWriter, say: Callable[[str], None], why: str) -> None:
    """Write down that a run was stopped by something that may pass. say: is told what could not be written."""
    _close(writer, say, INTERRUPTED, why)


@contextmanager
def ending(writer: RunWriter, prepared: Prepared, say: Callable[[str], None]) -> Iterator[None]:
    """Writes down what ends a run before its time, and lets it pass on. say: is told what could not be written."""
    try:
        yield
    except Diverged as error:
        _close(writer, say, DIVERGED, str(error), keep=False, at=_place(prepared, error))
        raise
    except (Stopped, Lost) as error:
        interrupted(writer, say, str(error))
        raise
    except Exception as error:
        may_pass = {"may_pass": True} if passing(error) else {}
        _close(writer, say, FAILED, reason(error), trace=traceback.format_exc(), keep=bool(may_pass), **may_pass)
        raise
    except BaseException as error:
        interrupted(writer, say, type(error).__name__)
        raise


def _close(
    writer: RunWriter,
    say: Callable[[str], None],
    state: str,
    why: str,
    *,
    trace: str | None = None,
    keep: bool = True,
    **details: Any,
) -> None:
    """The first error is not to be lost where this, too, cannot be written. keep: the checkpoints are of use."""
    try:
        if finished(writer.folder):
            return  # the record is whole: only its last flush has failed
        writer.check()  # or another's checkpoints would go
        if not keep:
            shutil.rmtree(writer.folder / CHECKPOINTS, ignore_errors=True)
        writer.close(state, why, trace=trace, **details)
    except (OSError, StoreError) as error:
        say(f"{writer.folder}: {state}, {why}; this could not be written: {error}")


def _place(prepared: Prepared, error: Diverged) -> dict[str, Any]:
    """Where a run diverged."""
    scenario, options = prepared.scenario, prepared.config.options["train"]
    batch = None if error.batch is None else [scenario.ids[index] for index in error.batch]
    return {"task": error.task, "step": error.step, "lr": options.lr, "batch": batch}


@dataclass(frozen=True, eq=False)
class Step:
    """What a step gave. number: of the task, from 0. batch: dataset indices of its new images, int64."""

    task: int
    number: int
    values: Values
    batch: IntArray


class InBulk(Listener):
    """Hands on every step's numbers, many steps at once, and what waits after each task."""

    def __init__(self) -> None:
        self._waiting: list[Step] = []

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._waiting.append(Step(task, step, values, samples.indices))
        if len(self._waiting) >= FLUSH_EVERY:
            self.flush()

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, []
        self.write(waiting)

    @abstractmethod
    def write(self, steps: Sequence[Step]) -> None:
        """Take some steps in order; reading their values waits for the device."""


class Numbers(InBulk):
    """Reads every step's numbers.

    Raises:
        Diverged: one is not finite; says at which step, and of which batch.
    """

    def write(self, steps: Sequence[Step]) -> None:
        self.events(steps)

    def events(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """What is recorded of some steps."""
        events: list[dict[str, Any]] = []
        for step in steps:
            numbers = {name: float(value) for name, value in step.values.items()}
            bad = [name for name, number in numbers.items() if not math.isfinite(number)]
            if bad:
                raise Diverged(
                    f"Expected finite numbers but {bad[0]} was {numbers[bad[0]]} at task {step.task + 1}, step "
                    f"{step.number + 1}; try a smaller learning rate (--set lr=…).",
                    step.task,
                    step.number,
                    step.batch,
                )
            events.append({"event": "step", "task": step.task, "step": step.number, **numbers})
        return events


class Recorder(Numbers):
    """Writes every step's numbers to events.jsonl and each task's logits.

    Seconds stand in metrics.json alone, so that events.jsonl is the same for the same run.
    """

    def __init__(self, writer: RunWriter) -> None:
        super().__init__()
        self.writer = writer

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        super().evaluated(task, evaluation)
        self.writer.array(f"task{task}", evaluation.logits)
        self.writer.events([{"event": "evaluated", "task": task}])

    def write(self, steps: Sequence[Step]) -> None:
        self.writer.events(self.events(steps))


def score(scenario: Scenario, evaluations: Sequence[Evaluation], *, joint: bool) -> dict[str, Any]:
    """The metrics of a run from its saved logits; see `clbench.metrics.evaluate`."""
    test = scenario.test_indices()
    rows = {int(index): row for row, index in enumerate(test)}
    scores = metrics.Scores(
        logits=[evaluation.logits for evaluation in evaluations],
        labels=scenario.tested(test),
        task_rows=[np.array([rows[int(i)] for i in task.test], np.int64) for task in scenario],
        task_classes=[task.classes for task in scenario],
        threshold=float(scenario.protocol.get("threshold", 0.5)),
        joint=joint,
        scored=None if scenario.scored is None else scenario.scored[test],
    )
    return metrics.evaluate(scores, scenario.groups)


def costs(scenario: Scenario, strategy: Strategy, progress: Progress) -> dict[str, Any]:
    """What a run took, and what it had.

    positive_angle, angle_by_positives: of each evaluation, see `Evaluation`.
    memory_counts: after each task, for each class the samples in the memory that are stored with it. cost:
        steps, gradient_images, replayed_images: see `clbench.learning.tally`; counts of the whole run, whatever its
            stops, or None where it was begun before they were counted.
        train_seconds: of each task, all from before its first batch to its evaluation: reading, teachers, Fisher
            passes, what the memory decides, and writing of records and checkpoints; not what was lost to a stop.
        eval_seconds: of each evaluation. feature_seconds: on the maps of a backbone that is frozen from the start,
            which train_seconds leave out.
        memory_bytes: at the end, see `Strategy.memory_bytes`. peak_memory_bytes: of process or device.
        parameters: numbers that are trained at the end.
    """
    evaluations = progress.evaluations
    return {
        "positive_angle": [evaluation.positive_angle for evaluation in evaluations],
        "angle_by_positives": [evaluation.angle_by_positives for evaluation in evaluations],
        "memory_counts": [evaluation.memory_counts for evaluation in evaluations],
        "cost": {
            **(strategy.tally.counts or dict.fromkeys(COUNTS)),
            "feature_seconds": progress.feature_seconds,
            "train_seconds": [evaluation.train_seconds for evaluation in evaluations],
            "eval_seconds": [evaluation.eval_seconds for evaluation in evaluations],
            "peak_memory_bytes": environment.peak_memory_bytes(strategy.device),
            "memory_bytes": strategy.memory_bytes(),
            "parameters": sum(p.numel() for p in strategy.parameters()),
        },
    }
