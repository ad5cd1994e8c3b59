"""Where in the sequence of tasks a run is: what a strategy is told of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from clbench.scenario.samples import ReplayLabels
from clbench.scenario.tasks import Scenario, Task


@dataclass(frozen=True, eq=False)
class Stage:
    """One task as the strategy that learns it sees it: without test images, and with no label that the protocol hides.

    number: of the task, from 0. task: its `test` is empty. steps: those of the whole task. seen: columns introduced so
    far, this task's included. replay: what stored samples say now; None where they say what was stored.
    """

    number: int
    task: Task
    steps: int
    seen: tuple[int, ...]
    replay: ReplayLabels | None = None

    @property
    def old(self) -> tuple[int, ...]:
        """Columns of the tasks before this one."""
        return self.seen[: len(self.seen) - len(self.task.classes)]

    @property
    def columns(self) -> int:
        """The least width of a head that has every column seen so far."""
        return 1 + max(self.seen)


def stages(scenario: Scenario, steps: list[int]) -> Iterator[Stage]:
    """Every stage of a scenario. steps: those of each task."""
    blind = np.zeros(0, np.int64)
    for number, task in enumerate(scenario):
        sofar = scenario[: number + 1]
        seen = tuple(c for each in sofar for c in each.classes)
        replay = scenario.replay and scenario.replay.revealed([each.train for each in sofar])
        yield Stage(number, replace(task, test=blind), steps[number], seen, replay)
