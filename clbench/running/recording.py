"""A run's numbers: every step's, in bulk, and from the saved logits the metrics."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clbench import metrics
from clbench.arrays import IntArray
from clbench.learning.batch import Values
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import Progress
from clbench.running import environment
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario
from clbench.store.folder import RunWriter

FLUSH_EVERY = 50
"""Steps between two readings of the losses: each reading waits for the device."""


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


class Recorder(InBulk):
    """Writes every step's numbers to events.jsonl and each task's logits.

    Seconds stand in metrics.json alone, so that events.jsonl is the same for the same run.

    Raises:
        Diverged: a recorded number is not finite; says at which step, and of which batch.
    """

    def __init__(self, writer: RunWriter) -> None:
        super().__init__()
        self._writer = writer

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        super().evaluated(task, evaluation)
        self._writer.array(f"task{task}", evaluation.logits)
        self._writer.events([{"event": "evaluated", "task": task}])

    def write(self, steps: Sequence[Step]) -> None:
        events: list[dict[str, Any]] = []
        for step in steps:
            numbers = {name: float(value) for name, value in step.values.items()}
            bad = [name for name, number in numbers.items() if not math.isfinite(number)]
            if bad:
                raise Diverged(
                    f"Expected finite numbers but {bad[0]} was {numbers[bad[0]]} at task {step.task}, step "
                    f"{step.number}; try a smaller learning rate (--set lr=…).",
                    step.task,
                    step.number,
                    step.batch,
                )
            events.append({"event": "step", "task": step.task, "step": step.number, **numbers})
        self._writer.events(events)


def score(scenario: Scenario, evaluations: Sequence[Evaluation], *, joint: bool) -> dict[str, Any]:
    """The metrics of a run from its saved logits; see `clbench.metrics.evaluate`."""
    test = scenario.test_indices()
    rows = {int(index): row for row, index in enumerate(test)}
    return metrics.evaluate(
        [evaluation.logits for evaluation in evaluations],
        scenario.labels[test],
        [np.array([rows[int(i)] for i in task.test], np.int64) for task in scenario],
        [task.classes for task in scenario],
        scenario.groups,
        threshold=float(scenario.protocol.get("threshold", 0.5)),
        joint=joint,
    )


def costs(scenario: Scenario, strategy: Strategy, progress: Progress) -> dict[str, Any]:
    """What a run took, and what it had. Memory bytes: those of the stored images, uint8, 3 x S x S each.

    memory_counts: after each task, for each class the samples in the memory that are stored with it.
    """
    stored, evaluations = 0 if strategy.memory is None else len(strategy.memory), progress.evaluations
    return {
        "positive_angle": [evaluation.positive_angle for evaluation in evaluations],
        "memory_counts": [evaluation.memory_counts for evaluation in evaluations],
        "cost": {
            "feature_seconds": progress.feature_seconds,
            "train_seconds": [evaluation.train_seconds for evaluation in evaluations],
            "eval_seconds": [evaluation.eval_seconds for evaluation in evaluations],
            "peak_memory_bytes": environment.peak_memory_bytes(strategy.device),
            "memory_bytes": stored * 3 * scenario.images.size**2,
            "parameters": strategy.model.parameter_count,
        },
    }
