"""A list of runs that other processes carry out, on the terminal: one line for all of them. Imports torch."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from clbench.cli.announcing import Announcer
from clbench.cli.progress import BAR, PLAIN_EVERY
from clbench.launch.cells import Cell, distinct
from clbench.launch.outcome import Failure
from clbench.running.execute import How
from clbench.store.folder import Run
from clbench.store.heartbeat import Heartbeat
from clbench.store.lock import Busy
from clbench.terminal import say


class Several(Announcer):
    """Announces as of a list in this process, and says how far all runs are together: how many have ended, how many go
    on, and what these learn. A live line on a terminal, one plain line every 30 s elsewhere."""

    def __init__(self, how: How, debug: bool, recorded: bool = False) -> None:
        super().__init__(how, debug, recorded)
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._beats: dict[Path, Heartbeat | None] = {}
        self._ended: set[Path] = set()
        self._runs, self._plain_at = 0, time.monotonic() + PLAIN_EVERY

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            description = TextColumn(
                "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            )
            self._bar = Progress(
                description, BarColumn(bar_width=BAR), console=self._console, transient=True, expand=True
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def planned(self, cells: Sequence[Cell], failures: Sequence[Failure]) -> None:
        super().planned(cells, failures)
        self._runs = len(distinct(cells))
        if self._bar:
            self._row = self._bar.add_task("", total=self._runs)

    def started(self, cell: Cell) -> None:
        self._beats[cell.folder] = None
        self._show()

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        self._beats[cell.folder] = heartbeat
        self._show()

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        super().done(cell, run, seconds)
        self._over(cell.folder)

    def done_already(self, cell: Cell, run: Run) -> None:
        super().done_already(cell, run)
        self._over(cell.folder)

    def left(self, cell: Cell, error: Busy) -> None:
        super().left(cell, error)
        self._beats.pop(cell.folder, None)

    def failed(self, failure: Failure) -> None:
        super().failed(failure)
        if failure.folder:
            self._over(failure.folder)

    def _over(self, folder: Path) -> None:
        self._beats.pop(folder, None)
        self._ended.add(folder)
        self._show()

    def _show(self) -> None:
        if self._bar:
            self._bar.update(self._row, description=self.line(), completed=len(self._ended) + self._shares())
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + PLAIN_EVERY
            say(self.line())

    def line(self) -> str:
        """All in one line."""
        rates = [beat.images_per_second for beat in self._beats.values() if beat and beat.images_per_second]
        on = f", {len(self._beats)} going on" if self._beats else ""
        percent = f" ({100 * self._shares() / len(self._beats):.0f} % done)" if any(self._beats.values()) else ""
        return (
            f"{len(self._ended)} of {self._runs} runs ended{on}{percent}{f', {sum(rates):.0f} img/s' if rates else ''}"
        )

    def _shares(self) -> float:
        """Of the runs that go on, in runs."""
        return sum(beat.done_steps / max(1, beat.total_steps) for beat in self._beats.values() if beat)
