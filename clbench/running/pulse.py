"""How far a run is, for its heartbeat: heard from the trainer, asked for by another thread."""

import time
from collections.abc import Sequence
from itertools import accumulate

from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.scenario.samples import Samples
from clbench.store.heartbeat import Place


class Pulse(Listener):
    """Knows the place of a run. Before `begin` all of it is 0: a frozen backbone's maps are being made, say."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._before: list[int] = [0]
        self._at = (0, 0)
        self._images, self._started, self._seconds = 0, 0.0, 0.0

    def begin(self, steps: Sequence[int], done: int) -> None:
        """steps: of every task. done: of all of them together."""
        self._before = [0, *accumulate(steps)]
        task = max((task for task in range(len(steps)) if self._before[task] <= done), default=0)
        self._at, self._steps = (task, done - self._before[task]), list(steps)

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self._images, self._started, self._seconds = 0, time.monotonic(), 0.0
        done = self._before[self._at[0]] + self._at[1]
        self._at = (task, done - self._before[task])  # all of them where only its evaluation is to be made again

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._images += len(samples.indices)
        self._seconds = time.monotonic() - self._started
        self._at = (task, step + 1)

    def place(self) -> Place:
        """May be called from any thread."""
        if not self._steps:
            return Place(0, 0, 0, 0, 0, 0)
        (task, step), rate = self._at, self._images / self._seconds if self._seconds else None
        done = self._before[task] + step
        return Place(task + 1, len(self._steps), step, self._steps[task], done, self._before[-1], rate)
