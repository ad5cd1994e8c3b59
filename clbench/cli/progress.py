"""Progress on standard error: a live line on a terminal, one plain line every 30 s elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from clbench.learning.batch import Values
from clbench.learning.listener import Evaluation, Listener
from clbench.scenario.samples import Samples
from clbench.terminal import duration, say

LOSS_EVERY = 50
"""Steps between two readings of the loss: each waits for the device."""
BAR, BAR_EVERY = 10, 0.2
"""Columns of a bar, and seconds between two looks of it."""
PLAIN_EVERY = 30.0
"""Seconds between two plain lines."""


class RunProgress(Listener):
    """Task, step, images per second, loss and time left of one run; on a terminal as two lines.

    behind: says how much time is left of the list that it is one of, given the seconds that are left of it.
    """

    def __init__(self, title: str, behind: Callable[[float], str] | None = None) -> None:
        self._title, self._behind = title, behind
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._loss = ""
        self._plain_at = 0.0
        self._begun: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", table_column=Column(ratio=1)),
                BarColumn(bar_width=BAR),
                TextColumn("{task.fields[told]}", table_column=Column(no_wrap=True)),
                console=self._console,
                transient=True,
                expand=True,
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
                self._row = self._bar.add_task(f"{self._title}: features", total=total, told="")
            self._bar.update(self._row, completed=done, told=f"{done}/{total}")
        elif done in (1, total) or now >= self._plain_at:
            self._plain_at = now + PLAIN_EVERY
            say(f"{self._title}: features, block {done}/{total}")

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self._tasks, self._steps, self._images, self._started = tasks, steps, 0, time.monotonic()
        self._plain_at = self._started + (0 if self._bar else PLAIN_EVERY)
        if self._bar:
            for known in self._bar.task_ids:
                self._bar.remove_task(known)
            self._row = self._bar.add_task(self._heading(task), total=steps, told=f"0/{steps}")
            self._run = self._bar.add_task("", total=1, told="")

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._images += len(samples.indices)
        if step % LOSS_EVERY == LOSS_EVERY - 1:
            self._loss = f", loss {float(values['loss']):.3f}"
        now = time.monotonic()
        self._begun = self._begun or (now, self._share(task, step + 1))
        if now >= self._plain_at:
            self._plain_at = now + (BAR_EVERY if self._bar else PLAIN_EVERY)
            self._tell(task, step + 1, now)

    def _tell(self, task: int, done: int, now: float) -> None:
        rate = f"{self._images / max(now - self._started, 1e-9):.0f} img/s{self._loss}"
        left = (now - self._started) / done * (self._steps - done)
        behind = self._left_behind(task, done, now)
        if self._bar:
            self._bar.update(self._row, completed=done, told=f"{done}/{self._steps}, {duration(left)} left")
            share = self._share(task, done)
            self._bar.update(self._run, description=rate, completed=share, told=f"{behind} left" if behind else "")
        else:
            more = f"; {behind} left" if behind else ""
            say(f"{self._heading(task)}: step {done}/{self._steps}, {rate}, {left:.0f} s left{more}")

    def _left_behind(self, task: int, done: int, now: float) -> str:
        """The time that is left of the list, once this run has gone on for long enough to tell its own."""
        began, before = self._begun or (now, 1.0)
        share = self._share(task, done)
        if self._behind is None or share <= before:
            return ""
        return self._behind((now - began) * (1 - share) / (share - before))

    def _share(self, task: int, done: int) -> float:
        """How much of the run is done, as if its tasks were of one length."""
        return (task + done / self._steps) / self._tasks

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        if not self._bar:
            seconds = f"trained {evaluation.train_seconds:.1f} s, evaluated {evaluation.eval_seconds:.1f} s"
            say(f"{self._heading(task)}: {seconds}")

    def _heading(self, task: int) -> str:
        return f"{self._title}: task {task + 1}/{self._tasks}"
