"""One run, from the lock on its folder to its end: begun or taken up again, trained, recorded."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from clbench.learning.engine import Engine, Lost, choose_device, deterministic, start
from clbench.learning.listener import Listener, voice
from clbench.learning.loader import WORKERS
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import Progress, steps_of_run, train
from clbench.models.features import FOLDER as FEATURES
from clbench.running import resume
from clbench.running.attention import attention_maps
from clbench.running.build import Prepared, build_strategy
from clbench.running.pulse import Pulse
from clbench.running.recording import InBulk, Numbers, Recorder, begin, costs, ending, interrupted, score
from clbench.running.resume import Checkpointer, Saver, Schedule, WhilePreparing
from clbench.running.stops import Agreed, Requests
from clbench.store.checkpoint import Checkpoint
from clbench.store.folder import CHECKPOINTS, DONE, Run, RunWriter, finished
from clbench.store.heartbeat import beating
from clbench.store.lock import held


@dataclass(frozen=True)
class How:
    """How runs are carried out. Of all this only the kind of device is part of a run's numbers.

    device: auto, cpu, cuda or cuda:N. schedule: when checkpoints are written. workers: threads that decode images
    ahead. rerun: start afresh what is done or interrupted.
    """

    device: str = "auto"
    schedule: Schedule = Schedule()
    workers: int = WORKERS
    rerun: bool = False


def execute(
    prepared: Prepared,
    seed: int,
    out: Path,
    how: How,
    *,
    listeners: Sequence[Listener] = (),
    requests: Requests | None = None,
) -> Run:
    """Run one seed, from its last checkpoint if it has one; nothing where it is done already.

    What stops a run is recorded in the run folder before it is raised. Where it may pass (a signal, a full disk, no
    memory, missing data) the checkpoints stay, and the same call goes on.

    Of several processes that share the run (see `clbench.learning.engine`) the first one has the folder, and writes.

    out: the results folder. requests: what may ask the run to stop.

    Raises:
        UsageError: there is no such device, or the run is not one for so many processes.
        Lost: another process that shares the run has ended.
        Busy: another process has this run.
        StoreError: the folder cannot be written, or its checkpoint is of another run.
        Stopped: `requests` asked for it.
    """
    engine = start(choose_device(how.device))
    attempt = _Attempt(prepared, seed, out, how, () if engine.rank else listeners, requests or Requests(), engine)
    folder, device, say = attempt.folder, attempt.device, voice(attempt.listeners)
    with engine.together(), ExitStack() as holding:
        check = engine.first(lambda: holding.enter_context(held(folder)))
        if engine.largest(engine.rank == 0 and not how.rerun and finished(folder) is not None):
            if not engine.rank:  # checkpoints of a process that was killed before it did this
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            return Run(folder)
        found = None if how.rerun else resume.latest(folder, attempt.identity, device, say)
        engine.check_alike({"run": attempt.identity, "checkpoint": found.step if found else None}, f"in {folder}")
        deterministic(seed, prepared.config.options["train"].threads)
        if check is None:
            attempt.accompany(found)
            return Run(folder)
        if found:
            say(f"{folder}: going on after step {found.step}")
            _say_if_modified(prepared, folder, say)
        writer = RunWriter(folder, found.state["record"]["events"] if found else None, check)
        with ending(writer, prepared, say):
            begin(writer, prepared, seed, device, found.step if found else None)
            with beating(folder, attempt.pulse.place, check):
                metrics = attempt.train(writer, found)
            writer.json("metrics.json", metrics)
            writer.close(DONE)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        with suppress(Lost):  # the run is done, whatever becomes of the others
            engine.wait()
        return Run(folder)


def _say_if_modified(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> None:
    """A file that was replaced by one of the same size is not in the identity of a run: its time may be a copy's."""
    then, now = Run(folder).env.get("images_modified"), prepared.modified
    if then != now:
        say(
            f"note: {folder}: the newest image file was of {then} and is of {now}; sizes and some contents are as they "
            f"were, and `clbench data verify {prepared.config.scenario}` compares every byte"
        )


@dataclass(frozen=True)
class _Attempt:
    """One process's work on a run: what `execute` was given, and what follows from it."""

    prepared: Prepared
    seed: int
    out: Path
    how: How
    listeners: Sequence[Listener]
    requests: Requests
    engine: Engine

    @cached_property
    def device(self) -> torch.device:
        return choose_device(self.how.device)

    @cached_property
    def folder(self) -> Path:
        return self.prepared.folder(self.out, self.seed)

    @cached_property
    def pulse(self) -> Pulse:
        return Pulse()

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        return self.prepared.identity(self.seed, self.device)

    def train(self, writer: RunWriter, found: Checkpoint | None) -> dict[str, Any]:
        """Train from the start, or from a checkpoint, to the end; returns what metrics.json holds."""
        say, scenario = voice(self.listeners), self.prepared.scenario
        with self.engine.watched(lambda error: interrupted(writer, say, str(error))):
            strategy, progress = self._taken_up(found)
            recorder = Recorder(writer)
            saver = Saver(recorder, strategy, progress, self.identity)
            if not strategy.resumable:
                name = self.prepared.config.strategy
                say(f"{name} cannot be resumed: no checkpoints; a run that is stopped begins again")
            self._learn(strategy, progress, recorder, saver.save, self.how.schedule, found.step if found else 0)
        if maps := attention_maps(scenario, strategy):
            writer.arrays("attention", maps)
        return score(scenario, progress.evaluations, joint=strategy.joint) | costs(scenario, strategy, progress)

    def accompany(self, found: Checkpoint | None) -> None:
        """The same on another process than the first: nothing is written, and in the end it waits for the first."""
        with self.engine.watched():
            strategy, progress = self._taken_up(found)
            numbers = Numbers()
            self._learn(strategy, progress, numbers, lambda step: numbers.flush(), Schedule(minutes=math.inf), 0)
            self.engine.wait()

    def _learn(
        self,
        strategy: Strategy,
        progress: Progress,
        numbers: InBulk,
        save: Callable[[int], None],
        schedule: Schedule,
        step: int,
    ) -> None:
        """step: those of all tasks that are done."""
        requests = self.requests if self.engine.size == 1 else Agreed(self.requests, self.engine)
        scenario, options = self.prepared.scenario, self.prepared.config.options["train"]
        checkpointer = Checkpointer(save, schedule, requests, step)
        self.pulse.begin(steps_of_run(strategy, scenario, options), step)
        listeners = [numbers, self.pulse, *self.listeners, checkpointer]
        try:
            train(strategy, scenario, options, seed=self.seed, listeners=listeners, progress=progress)
        except Exception:
            numbers.flush()  # raises Diverged where a step gave no number: that comes first, and led to this
            raise

    def _taken_up(self, found: Checkpoint | None) -> tuple[Strategy, Progress]:
        """The strategy, and how far the run is: at its start, or as the checkpoint has them."""
        preparing = WhilePreparing(self.requests)
        strategy = build_strategy(
            self.prepared,
            self.seed,
            self.device,
            cache=self.out / FEATURES,
            listeners=[*self.listeners, preparing],
            workers=self.how.workers,
            engine=self.engine,
        )
        progress = resume.restore(found, strategy, self.folder) if found else Progress()
        progress.feature_seconds += preparing.seconds
        return strategy, progress
