"""A run's numbers: every step's, in bulk, and from the saved logits the metrics."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from clbench import metrics
from clbench.learning.batch import Values
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.strategy import Strategy
from clbench.running import environment
from clbench.scenario.tasks import Scenario
from clbench.store.folder import RunWriter

FLUSH_EVERY = 50
"""Steps between two readings of the losses: each reading waits for the device."""


class InBulk(Listener):
    """Hands on every step's numbers, many steps at once, and what waits after each task."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Values]] = []

    def stepped(self, task: int, step: int, values: Values, images: int) -> None:
        self._waiting.append((task, step, values))
        if len(self._waiting) >= FLUSH_EVERY:
            self.flush()

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, []
        self.write(waiting)

    @abstractmethod
    def write(self, steps: Sequence[tuple[int, int, Values]]) -> None:
        """Take (task, step, values) of some steps in order; reading the values waits for the device."""


class Recorder(InBulk):
    """Writes every step's numbers to events.jsonl and each task's logits.

    Seconds stand in metrics.json alone, so that events.jsonl is the same for the same run.

    Raises:
        Diverged: a recorded number is not finite; says at which step.
    """

    def __init__(self, writer: RunWriter) -> None:
        super().__init__()
        self._writer = writer

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        super().evaluated(task, evaluation)
        self._writer.array(f"task{task}", evaluation.logits)
        self._writer.events([{"event": "evaluated", "task": task}])

    def write(self, steps: Sequence[tuple[int, int, Values]]) -> None:
        events: list[dict[str, Any]] = [
            {"event": "step", "task": task, "step": step} | {name: float(value) for name, value in values.items()}
            for task, step, values in steps
        ]
        for event in events:
            bad = [name for name, value in event.items() if isinstance(value, float) and not math.isfinite(value)]
            if bad:
                raise Diverged(
                    f"Expected finite numbers but {bad[0]} was {event[bad[0]]} at task {event['task']}, step "
                    f"{event['step']}; try a smaller learning rate (--set lr=…).",
                    event["task"],
                    event["step"],
                )
        self._writer.events(events)


def score(scenario: Scenario, evaluations: Sequence[Evaluation], *, joint: bool) -> dict[str, Any]:
    """The metrics of a run from its saved logits; see `clbench.metrics.evaluate`."""
    test = scenario.test_indices()
    rows = {int(index): row for row, index in enumerate(test)}
    scores = metrics.Scores(
        logits=[evaluation.logits for evaluation in evaluations],
        labels=scenario.labels[test],
        task_rows=[np.array([rows[int(i)] for i in task.test], np.int64) for task in scenario],
        task_classes=[task.classes for task in scenario],
        threshold=float(scenario.protocol.get("threshold", 0.5)),
        joint=joint,
    )
    return metrics.evaluate(scores, scenario.groups)


def costs(scenario: Scenario, strategy: Strategy, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """What a run took, and what it had. Memory bytes: see `Strategy.memory_bytes`.

    memory_counts: after each task, for each class the samples in the memory that are stored with it.
    """
    return {
        "positive_angle": [evaluation.positive_angle for evaluation in evaluations],
        "memory_counts": [evaluation.memory_counts for evaluation in evaluations],
        "cost": {
            "feature_seconds": strategy.loader.feature_seconds,
            "train_seconds": [evaluation.train_seconds for evaluation in evaluations],
            "eval_seconds": [evaluation.eval_seconds for evaluation in evaluations],
            "peak_memory_bytes": environment.peak_memory_bytes(strategy.device),
            "memory_bytes": strategy.memory_bytes(),
            "parameters": sum(p.numel() for p in strategy.parameters()),
        },
    }
