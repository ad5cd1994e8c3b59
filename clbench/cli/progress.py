"""Progress on standard error: a live line on a terminal, one plain line every 30 s elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clbench.learning.batch import Values
from clbench.learning.listener import Evaluation, Listener
from clbench.scenario.samples import Samples
from clbench.terminal import say

LOSS_EVERY = 50
"""Steps between two readings of the loss: each waits for the device."""
PLAIN_EVERY = 30.0
"""Seconds between two plain lines."""


class RunProgress(Listener):
    """Task, step, images per second, loss and time left of one run."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._loss = ""
        self._plain_at = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.completed}/{task.total} {task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def features(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._bar:
            if done == 1:
                self._row = self._bar.add_task(f"{self._title}: features", total=total, rate="")
            self._bar.update(self._row, completed=done)
        elif done in (1, total) or now >= self._plain_at:
            self._plain_at = now + PLAIN_EVERY
            say(f"{self._title}: features, block {done}/{total}")

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self._tasks, self._steps, self._images, self._started = tasks, steps, 0, time.monotonic()
        self._plain_at = self._started + PLAIN_EVERY
        if self._bar:
            for known in self._bar.task_ids:
                self._bar.remove_task(known)
            self._row = self._bar.add_task(self._heading(task), total=steps, rate="")

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._images += len(samples.indices)
        if step % LOSS_EVERY == LOSS_EVERY - 1:
            self._loss = f", loss {float(values['loss']):.3f}"
        now = time.monotonic()
        rate = f"{self._images / max(now - self._started, 1e-9):.0f} img/s{self._loss}"
        if self._bar:
            self._bar.update(self._row, completed=step + 1, rate=rate)
        elif now >= self._plain_at:
            self._plain_at = now + PLAIN_EVERY
            left = (now - self._started) / (step + 1) * (self._steps - step - 1)
            say(f"{self._heading(task)}: step {step + 1}/{self._steps}, {rate}, {left:.0f} s left")

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        if not self._bar:
            seconds = f"trained {evaluation.train_seconds:.1f} s, evaluated {evaluation.eval_seconds:.1f} s"
            say(f"{self._heading(task)}: {seconds}")

    def _heading(self, task: int) -> str:
        return f"{self._title}: task {task + 1}/{self._tasks}"
