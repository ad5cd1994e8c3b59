"""Runs that a cluster carries out, as the process that handed them out sees them: by their folders on a shared disk."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from clbench.launch.cells import Builder, Cell, LaunchListener, built, distinct
from clbench.launch.outcome import Elsewhere, Failure, Outcome
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.store import heartbeat
from clbench.store.folder import CHECKPOINTS, SUMS, Run, finished
from clbench.store.lock import Busy, holder, is_held


class Away:
    """What is to be done of a list, and what became of the rest.

    todo: runs by their folders. short: those that found no memory; they are tried once more in the end, each alone.
    outcome: of those that are not to be done any more.
    """

    def __init__(self, cells: Iterable[Cell], rerun: bool, listener: LaunchListener, outcome: Outcome) -> None:
        self.todo: dict[Path, Cell] = {}
        self.short: list[Cell] = []
        self._listener, self.outcome = listener, outcome
        self._before: dict[Path, int | None] = {}
        self._begun: dict[Path, float] = {}
        self._beats: dict[Path, int] = {}
        for cell in distinct(cells):
            done = finished(cell.folder)
            if done and not rerun:
                listener.done_already(cell, done)
                outcome.runs.append(done)
            else:
                self.todo[cell.folder] = cell
                self._before[cell.folder] = _sealed(cell.folder)  # of a run that is to be done again

    @classmethod
    def of(cls, specs: Sequence[Spec], how: How, listener: LaunchListener, builder: Builder | None) -> Self:
        """A list, built here so that its folders are known. Raises UsageError and PluginError."""
        configs = [spec.config() for spec in specs]
        cells, failures = built(specs, configs, builder or Builder(listener))
        listener.planned(cells, failures)
        return cls(cells, how.rerun, listener, Outcome(failures=failures))

    def look(self) -> None:
        """Tell how far the runs are, and take those out that have been done."""
        for folder, cell in list(self.todo.items()):
            if _sealed(folder) != self._before[folder] and (run := finished(folder)):
                self._ended(cell, run)
            elif (beat := heartbeat.read(folder)) and beat.beat != self._beats.get(folder):
                if folder not in self._begun:
                    self._begun[folder] = time.monotonic()
                    self._listener.started(cell)
                self._beats[folder] = beat.beat
                self._listener.at(cell, beat)

    def take_in(self, told: Outcome) -> None:
        """What a job says of its runs; of one that is done its folder says so."""
        for failure in told.failures:
            cell = self._cell(failure)
            if cell is None:
                continue  # another job has told it
            del self.todo[cell.folder]
            mine = Failure(cell.spec, failure.error, failure.folder)
            if failure.no_memory and cell not in self.short:
                self.short.append(cell)
                self._listener.said(f"{mine}; it is tried once more in the end, alone")
            else:
                self._fail(mine)
        self.look()

    def again(self, cell: Cell) -> None:
        """One that found no memory is to be done after all."""
        self.todo[cell.folder] = cell

    def give_up(self, why: str) -> None:
        """Nobody has done what is left: it is another launcher's now, or has failed."""
        for folder, cell in self.todo.items():
            if is_held(folder):
                error = Busy(f"Expected {folder} to be free but {holder(folder)}; wait for it, or run this again.")
                self.outcome.busy.append(Failure(cell.spec, error, folder))
            else:
                self._fail(Failure(cell.spec, Elsewhere(why), folder))
        self.todo.clear()

    def traces(self) -> dict[Path, Any]:
        """What changes in the folders of runs that go on: checkpoints, and what is recorded."""
        return {folder: (_sealed(folder), *_names(folder / CHECKPOINTS)) for folder in self.todo}

    def _ended(self, cell: Cell, run: Run) -> None:
        del self.todo[cell.folder]
        self.outcome.runs.append(run)
        self._listener.done(cell, run, time.monotonic() - self._begun.get(cell.folder, time.monotonic()))

    def _fail(self, failure: Failure) -> None:
        self.outcome.failures.append(failure)
        self._listener.failed(failure)

    def _cell(self, failure: Failure) -> Cell | None:
        """The run of the list that another process tells of, where it is still to be done."""
        there = failure.spec
        same = [cell for cell in self.todo.values() if cell.spec.seed == there.seed]
        return next((cell for cell in same if shipped(cell) == there.as_json()), None)


def shipped(cell: Cell) -> dict[str, Any]:
    """A run's specification as another machine takes it: the hash that it must come to, and no path from here."""
    spec = cell.spec.as_json() | {"config_hash": cell.prepared.config_hash}
    for name in ("data_root", "out", "recipe"):
        spec[name] = spec[name] and str(Path(spec[name]).absolute())
    files = {kind: plugin.file for kind, plugin in cell.prepared.config.files.items()}
    return spec | {kind: str(file.absolute()) for kind, file in files.items() if file}


def _sealed(folder: Path) -> int | None:
    """When the checksums were written, which are last; None where there are none."""
    try:
        return (folder / SUMS).stat().st_mtime_ns
    except OSError:
        return None


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
