"""A list of runs, one after another: what `clbench run` and `clbench resume` share. Imports torch: import it late."""

import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
import typer

from clbench.cli.common import debugging
from clbench.cli.progress import RunProgress
from clbench.files import DEFAULT_OUT
from clbench.report.formats import summary
from clbench.running.build import Prepared
from clbench.running.execute import How, execute
from clbench.running.resume import Schedule
from clbench.running.stops import Requests, Stopped, parse_duration, reason
from clbench.store.folder import Run, finished
from clbench.store.lock import Busy
from clbench.terminal import say
from clbench.trackers.live import tracked


@dataclass(frozen=True)
class Cell:
    """One run of a list of runs."""

    prepared: Prepared
    seed: int
    out: Path

    def __str__(self) -> str:
        return f"{self.prepared.scenario.name}/{self.prepared.config.strategy} seed {self.seed}"

    @property
    def folder(self) -> Path:
        return self.prepared.folder(self.out, self.seed)


@dataclass(frozen=True)
class Launch:
    """How runs are carried out. workers: threads that decode images. track: a tracker's name."""

    device: torch.device
    schedule: Schedule
    workers: int
    rerun: bool = False
    track: str | None = None


def run_cells(cells: list[Cell], launch: Launch, max_time: str | None) -> None:
    """Run each that is not done; what another process has is left to it and looked at once more in the end.

    One that fails does not keep the next from running. Ends with the numbers on standard output.

    Raises:
        typer.Exit: 1 where a run failed, 5 where one is still another process's, 75, 130 or 143 where it was stopped.
    """
    requests = Requests(None if max_time is None else parse_duration(max_time))
    runs: list[Run] = []
    failures: list[str] = []
    busy: list[str] = []
    waiting = [(cell, last) for last in (False, True) for cell in cells]
    settled: set[int] = set()
    try:
        with requests.listening():
            for cell, last in waiting:
                if id(cell) in settled:
                    continue
                if stop := requests.stop():
                    raise stop
                try:
                    runs.append(_run_cell(cell, launch, requests))
                    settled.add(id(cell))
                except Stopped:
                    raise
                except Busy as error:
                    say(f"{cell}: {error}")
                    if last:
                        busy.append(f"{cell}: {error}")
                except Exception as error:
                    settled.add(id(cell))
                    if debugging():
                        traceback.print_exc()
                    failures.append(f"{cell}: {reason(error)}")
                    say(failures[-1])
    except Stopped as stop:
        say(f"{stop}; the run is recorded as interrupted, and the same command goes on")
        _conclude(runs, failures, busy, cells[0].out)
        raise typer.Exit(stop.exit_code) from None
    _conclude(runs, failures, busy, cells[0].out)
    if failures or busy:
        raise typer.Exit(1 if failures else Busy.exit_code)


def _run_cell(cell: Cell, launch: Launch, requests: Requests) -> Run:
    existing = None if launch.rerun else finished(cell.folder)
    if existing:
        say(f"{cell}: done already in {cell.folder}; --rerun runs it again")
        return existing
    started = time.monotonic()
    tracking = tracked(launch.track, cell.prepared, cell.seed, cell.out, say)
    with RunProgress(str(cell)) as progress, tracking as listeners:
        how = How(launch.device.type, launch.schedule, launch.workers, launch.rerun)
        run = execute(cell.prepared, cell.seed, cell.out, how, listeners=[progress, *listeners], requests=requests)
    say(f"{cell}: done in {time.monotonic() - started:.0f} s, {cell.folder}")
    return run


def announce(cells: list[Cell], device: torch.device) -> None:
    """What will run, on what, and where results go."""
    scenario = cells[0].prepared.scenario
    sizes = f"{len(scenario.train_indices())} training and {len(scenario.test_indices())} test images"
    say(f"{scenario.name}: {len(scenario)} tasks, {scenario.num_classes} classes, {sizes}")
    if scenario.images.paths:
        say(f"  images: {scenario.images.fingerprint}")
    for note in scenario.notes:
        say(f"  note: {note}")
    for prepared in dict.fromkeys(cell.prepared for cell in cells):
        config, seeds = prepared.config, [str(cell.seed) for cell in cells if cell.prepared is prepared]
        model, training = config.options["model"], config.options["train"]
        frozen = "" if model.freeze == "none" else ", frozen"
        memory = f"memory {config.memory} of {config.options['memory'].size}" if config.memory else "no memory"
        say(
            f"  {config.strategy}: {model.backbone} ({prepared.weights['source']} weights{frozen}), {model.head} head, "
            f"{memory}, {training.optimizer} {training.lr:g}, batch {training.batch_size}, {training.epochs} epoch(s), "
            f"seed {','.join(seeds)}"
        )
        for warning in ("leak", "note"):
            if prepared.weights[warning]:
                say(f"    {warning}: {prepared.weights[warning]}")
    say(f"{len(cells)} run(s) on {device}; results go to {cells[0].out}")


def _conclude(runs: list[Run], failures: list[str], busy: list[str], out: Path) -> None:
    """The numbers on standard output, what to type next, and what went wrong once more."""
    if runs:
        print(summary(runs))
        say(f"next: clbench report{'' if out == DEFAULT_OUT else f' --runs {out}'}")
    for number, what in ((failures, "failed"), (busy, "left to other processes")):
        if number:
            say(f"{len(number)} run(s) {what}:")
            for line in number:
                say(f"  {line}")
