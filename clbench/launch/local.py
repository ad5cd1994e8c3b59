"""Worker processes on this machine: each takes the next run that is free until there are none.

A worker that is killed costs what it had done since its last checkpoint: another takes its run up. Whoever else sees
the results folder, another machine say, may carry out the same list at the same time: what one has the others leave.
"""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import torch

from clbench.errors import ClbenchError
from clbench.launch.cells import Builder, Cell, LaunchListener, built
from clbench.launch.launcher import Launcher, Workers, refuse
from clbench.launch.outcome import Elsewhere, Failure, Outcome
from clbench.launch.process import WorkerProcess
from clbench.launch.spec import Spec
from clbench.launch.worker import how_as_json
from clbench.learning.engine import choose_device
from clbench.running.execute import How
from clbench.running.stops import Requests
from clbench.store import heartbeat
from clbench.store.failure import record_failure
from clbench.store.folder import Run, finished
from clbench.store.lock import Busy

LIVES = 2
"""Workers that a run may cost, before it has failed."""
STARTS = 3
"""Workers that may end before they take anything, one after another."""
LOOK = 0.5
"""Seconds between two looks at what is asked of the list, and at how far its runs are."""


def local(workers: Workers) -> Launcher:
    """The launcher. Raises UsageError where a cluster is to be asked for something."""
    refuse(workers.asked, "local")
    return partial(carry_out, workers)


def carry_out(
    workers: Workers,
    specs: Sequence[Spec],
    how: How,
    *,
    listener: LaunchListener,
    requests: Requests | None = None,
    builder: Builder | None = None,
) -> Outcome:
    """Carry out a list of runs by worker processes; see `Launcher`.

    What another launcher's processes have is looked at once more in the end. A run that finds no memory is tried once
    more in the end, alone. One whose workers are killed twice is recorded as failed.

    Raises:
        UsageError, PluginError: a mistake in the list or in `how`; nothing was started.
        ClbenchError: workers do not start.
    """
    devices = choose_devices(workers, how)
    configs = [spec.config() for spec in specs]
    team = Team(how, devices, listener, requests or Requests(), Outcome())
    with team:
        team.start(devices[: len(specs)])  # they import while this process builds
        cells, team.outcome.failures = built(specs, configs, builder or Builder(listener))
        listener.planned(cells, team.outcome.failures)
        with requests.listening() if requests else nullcontext():
            team.do(cells)
    return team.outcome


def choose_devices(workers: Workers, how: How) -> list[str]:
    """The device of each worker that may work at once. Raises UsageError for one that cannot be had."""
    chosen, devices = choose_device(how.device), workers.devices
    for device in devices:
        choose_device(device)
    if not devices and chosen.type == "cuda" and chosen.index is None:
        devices = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    jobs = workers.jobs or len(devices) or cores()
    return list(islice(cycle(devices or (how.device,)), jobs))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class Turn:
    """A run that is to be done.

    rerun: afresh, whatever is there of it. deaths: of workers that had it. alone: it is tried once more, by itself.
    """

    cell: Cell
    rerun: bool = False
    deaths: int = 0
    alone: bool = False


@dataclass
class Team:
    """Worker processes, the runs that they are to do, and what becomes of these.

    devices: of each worker that may work at once.
    """

    how: How
    devices: Sequence[str]
    listener: LaunchListener
    requests: Requests
    outcome: Outcome
    _todo: deque[Turn] = field(default_factory=deque)
    _workers: dict[WorkerProcess, Turn | None] = field(default_factory=dict)
    _starting: set[WorkerProcess] = field(default_factory=set)
    _lost_starts: int = 0
    _heard: SimpleQueue[tuple[WorkerProcess, dict[str, Any] | None]] = field(default_factory=SimpleQueue)
    _left: dict[Turn, Busy] = field(default_factory=dict)
    _short: list[Turn] = field(default_factory=list)
    _beats: dict[Path, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """No worker stays behind; one that has a run ends with a checkpoint."""
        for worker in self._workers:
            if worker in self._starting:
                worker.kill()
            worker.leave()
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def start(self, devices: Iterable[str]) -> None:
        """A worker on each."""
        for device in devices:
            worker = WorkerProcess(device, lambda worker, message: self._heard.put((worker, message)))
            self._workers[worker] = None
            self._starting.add(worker)

    def do(self, cells: Iterable[Cell]) -> None:
        """All of them: what is free, then what others had, then, each alone, what found no memory."""
        turns: dict[Path, list[Turn]] = {}
        for cell in cells:
            done = None if self.how.rerun else finished(cell.folder)
            if done:
                self.listener.done_already(cell, done)
                self.outcome.runs.append(done)
            else:
                turns.setdefault(cell.folder, []).append(Turn(cell, self.how.rerun))
        self._work([first for first, *_ in turns.values()], self.devices)
        left, self._left = list(self._left), {}
        again = [Turn(turn.cell) for _, *others in turns.values() for turn in others]  # another way to say the same run
        self._work([*left, *again], self.devices)
        for turn in self._short:
            self.end()  # what the others keep of memory, they give back
            self._work([turn], self.devices[:1])
        self.outcome.busy += [Failure(turn.cell.spec, error, turn.cell.folder) for turn, error in self._left.items()]

    def _work(self, turns: Iterable[Turn], devices: Sequence[str]) -> None:
        """Until each is done, has failed, or is left; or the list is stopped."""
        self._todo = deque(() if self.outcome.stop else turns)
        while self._todo or any(self._workers.values()):
            self._ask()
            self._staff(devices)
            self._hear()

    def _ask(self) -> None:
        """Pass on what is asked of the list."""
        stop = self.requests.stop()
        if stop and not self.outcome.stop:
            self.outcome.stop = stop
            self._todo.clear()
            for worker in self._workers:
                worker.tell(stop=[str(stop), stop.exit_code])
        if self.requests.take_checkpoint():
            for worker in self._workers:
                worker.tell(checkpoint=True)

    def _staff(self, devices: Sequence[str]) -> None:
        """As many workers as there is work, on devices that are free; each that has nothing gets the next run."""
        free = list(devices)
        for worker in self._workers:
            free.remove(worker.device)
        idle = [worker for worker, turn in self._workers.items() if turn is None]
        self.start(free[: max(0, len(self._todo) - len(idle))])
        for worker in idle:
            if self._todo and worker not in self._starting:
                self._workers[worker] = turn = self._todo.popleft()
                how = {**how_as_json(self.how), "device": worker.device, "rerun": turn.rerun}
                worker.tell(run=turn.cell.spec.as_json() | {"config_hash": turn.cell.prepared.config_hash}, how=how)

    def _hear(self) -> None:
        """What workers say until there is no more, or how far they are where they say nothing for a while."""
        try:
            worker, message = self._heard.get(timeout=LOOK)
        except Empty:
            return self._look()
        if worker not in self._workers:
            pass  # it was ended
        elif message is None:
            self._gone(worker)
        elif message["is"] == "ready":
            self._starting.discard(worker)
            self._lost_starts = 0
        elif turn := self._workers[worker]:
            self._told(worker, turn, message)

    def _told(self, worker: WorkerProcess, turn: Turn, message: dict[str, Any]) -> None:
        cell, what = turn.cell, message["is"]
        if what == "said":
            self.listener.said(message["message"])
        elif what == "started":
            self.listener.started(cell)
        elif what == "begun":
            turn.rerun = False  # from now on what is there is of this attempt
        elif what == "done":
            self.listener.done(cell, Run(cell.folder), message["seconds"])
        elif what == "done_already":
            self.listener.done_already(cell, Run(cell.folder))
        else:
            self._workers[worker] = None
            self._over(turn, Outcome.from_json(message["outcome"]))

    def _over(self, turn: Turn, outcome: Outcome) -> None:
        """A worker has given a run back."""
        self.outcome.runs += outcome.runs
        for failure in outcome.failures:
            if failure.no_memory and not turn.alone:
                turn.alone = True
                self._short.append(turn)
                self.listener.said(f"{failure}; it is tried once more in the end, alone")
            else:
                self._failed(failure)
        for busy in outcome.busy:
            assert isinstance(busy.error, Busy)
            self._left[turn] = busy.error
            self.listener.left(turn.cell, busy.error)
        if outcome.stop and not self.outcome.stop:
            self._died(turn, "was stopped")

    def _gone(self, worker: WorkerProcess) -> None:
        """A worker has ended."""
        turn, how = self._workers.pop(worker), worker.end()
        if turn:
            self._died(turn, how)
        elif worker in self._starting:
            self._starting.discard(worker)
            self._lost_starts += 1
            if self._lost_starts == STARTS and not self.outcome.stop:
                raise ClbenchError(
                    f"Expected a worker process to start but {STARTS} in a row did not, and the last {how}; see what "
                    "they said above, or use --launcher serial."
                )

    def _died(self, turn: Turn, how: str) -> None:
        """A worker has not given its run back."""
        if self.outcome.stop or self.requests.pending():
            return
        turn.deaths += 1
        if turn.deaths < LIVES:
            self.listener.said(f"{turn.cell}: its process {how}; another one goes on with it")
            self._todo.appendleft(turn)
            return
        said = (
            f"Expected the process of this run to live but it {how}, and so did the one before it; if the machine has "
            "too little memory use fewer --jobs or a smaller --set batch_size."
        )
        record_failure(turn.cell.folder, said)
        self._failed(Failure(turn.cell.spec, Elsewhere(said), turn.cell.folder))

    def _failed(self, failure: Failure) -> None:
        self.outcome.failures.append(failure)
        self.listener.failed(failure)

    def _look(self) -> None:
        """How far the runs are."""
        for turn in filter(None, self._workers.values()):
            folder = turn.cell.folder
            beat = heartbeat.read(folder)
            if beat and self._beats.get(folder) != beat.beat:
                self._beats[folder] = beat.beat
                self.listener.at(turn.cell, beat)
