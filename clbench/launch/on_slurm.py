"""Jobs of a Slurm cluster, by submitit: an array of them shares a list of runs, all on one disk.

Each job first does its own share, then what is left of the same scenarios, so that a node that is lost costs what it
had done since its last checkpoints. A job ends by itself, with checkpoints, before its time limit; what is left then is
submitted again. The process that submits them waits; where it is stopped it cancels its jobs, and where it is gone they
go on, and the same command finds what they have done.

submitit pickles what it sends into `.slurm` below the results folder, and what comes back; it is read by no other verb.

Tested with submitit's executor for one machine (`--ask cluster=local`); on a Slurm cluster nothing of it has been run.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from clbench.errors import UsageError
from clbench.launch.away import Away, shipped
from clbench.launch.cells import Builder, Cell, LaunchListener
from clbench.launch.launcher import Launcher, Workers
from clbench.launch.outcome import Outcome
from clbench.launch.spec import Spec
from clbench.launch.worker import do_share, how_as_json
from clbench.running.execute import How
from clbench.running.stops import Requests

FOLDER = ".slurm"
"""Below the results folder: what submitit writes, logs among it."""
COMMON = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
"""What submitit asks any cluster for; other names are Slurm's own."""
JOBS = 16
"""In an array, where nobody says how many."""
HOURS = 4.0
"""A job's time limit, where nobody says one."""
MARGIN = 0.1
"""Of a job's time that it keeps for its last checkpoint, at most `MOST`."""
MOST = 300.0
"""Seconds."""
ROUNDS = 2
"""Arrays in a row that may change nothing."""
LOOK = 1.0
"""Seconds between two looks at jobs and runs."""


def slurm(workers: Workers) -> Launcher:
    """The launcher. Raises UsageError where submitit is not installed, or the devices are named."""
    if workers.devices:
        raise UsageError("Expected no --devices with --launcher slurm; ask for some: --ask gpus_per_node=1.")
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UsageError("Expected submitit for --launcher slurm; pip install 'clbench[slurm]'.") from error
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
    """Carry out a list of runs by jobs; see `Launcher`. `how.device` is a job's.

    Raises:
        UsageError, PluginError: a mistake in the list; there is no Slurm here, or it is asked for what it has not.
    """
    away = Away.of(specs, how, listener, builder)
    if not away.todo:
        return away.outcome
    jobs = Jobs(workers, next(iter(away.todo.values())).spec.out, how, away, listener, requests or Requests())
    with requests.listening() if requests else nullcontext():
        jobs.do(workers.jobs or JOBS)
        for cell in away.short:
            away.again(cell)
            jobs.do(1)
        away.outcome.stop = jobs.requests.stop() if away.todo else None
    return away.outcome


class Jobs:
    """Arrays of jobs, one after another, until all is done."""

    def __init__(
        self, workers: Workers, out: Path, how: How, away: Away, listener: LaunchListener, requests: Requests
    ) -> None:
        self.requests = requests
        self._how, self._away, self._listener = how, away, listener
        self._logs = out.absolute() / FOLDER
        asked: dict[str, Any] = {"timeout_min": int(60 * HOURS), **{k: typed(v) for k, v in workers.asked.items()}}
        self._executor = executor(self._logs, asked)
        seconds = 60.0 * asked["timeout_min"]
        self._seconds = seconds - min(MOST, MARGIN * seconds)

    def do(self, jobs: int) -> None:
        """All that is to be done, by so many jobs at once."""
        idle, rerun = 0, self._how.rerun
        while self._away.todo and not self.requests.pending():
            before = self._away.traces()
            self._array(jobs, rerun)
            rerun = False
            idle = idle + 1 if self._away.traces() == before else 0
            if idle == ROUNDS and not self.requests.pending():
                self._away.give_up(
                    f"Expected a job to do this run but {idle} arrays of them did not; see {self._logs}."
                )

    def _array(self, jobs: int, rerun: bool) -> None:
        """One array, until all its jobs have ended."""
        how = {**how_as_json(self._how), "rerun": rerun}
        own, rest = shares(list(self._away.todo.values()), jobs)
        running = self._executor.map_array(partial(do_share, how=how, seconds=self._seconds), own, rest)
        cancelled = False
        while not all(job.done() for job in running):
            if self.requests.pending() and not cancelled:
                cancelled = True
                for job in running:
                    job.cancel(check=False)
            time.sleep(LOOK)
            self._away.look()
        for job in running:
            if error := job.exception():
                said = str(error).strip().splitlines()[-1]
                self._listener.said(f"job {job.job_id} ended early: {said}; see {job.paths.stderr}")
            else:
                self._away.take_in(Outcome.from_json(job.result()))


def shares(cells: Sequence[Cell], jobs: int) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
    """For each job the runs that are its own, and the others of the same scenarios, from the ones after its own on.

    Runs on one scenario stand together, so that few jobs build several.
    """
    order = sorted(cells, key=lambda cell: cell.prepared.scenario.name)
    jobs = min(jobs, len(order))
    cuts = [len(order) * number // jobs for number in range(jobs + 1)]
    own, rest = [], []
    for first, end in zip(cuts, cuts[1:], strict=False):
        mine = order[first:end]
        names = {cell.prepared.scenario.name for cell in mine}
        own.append([shipped(cell) for cell in mine])
        rest.append([shipped(cell) for cell in _turned(order, first, end) if cell.prepared.scenario.name in names])
    return own, rest


def _turned(cells: Sequence[Cell], first: int, end: int) -> Iterable[Cell]:
    return [*cells[end:], *cells[:first]]


def executor(folder: Path, asked: Mapping[str, Any]) -> Any:
    """submitit's, of a cluster: `cluster=slurm`, or `local` for this machine. Raises UsageError."""
    import submitit

    asked = {"name": "clbench", **asked}
    cluster = str(asked.pop("cluster", "slurm"))
    named = {
        key if key in COMMON or "_" in key and key.startswith(cluster) else f"{cluster}_{key}": value
        for key, value in asked.items()
    }
    try:
        made = submitit.AutoExecutor(folder, cluster=cluster)
        made.update_parameters(**named)
    except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
        raise UsageError(f"Expected {cluster} to take what --ask says but got: {error}") from error
    return made


def typed(text: str) -> Any:
    """A number where it is one."""
    return int(text) if text.isdecimal() else text
