"""Tasks of a Ray cluster: each run is one, and Ray finds it a machine. All of them write to one disk.

Ray starts a task again whose process was killed or whose machine is gone, and it goes on from its checkpoint (with
--rerun it starts afresh). What a run raises is told, and not tried again, but for one that finds no memory: it is tried
once more in the end, alone.
"""

import os
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from clbench.errors import UsageError
from clbench.launch.away import Away, shipped
from clbench.launch.cells import Builder, Cell, LaunchListener
from clbench.launch.launcher import Launcher, Workers
from clbench.launch.outcome import Elsewhere, Failure, Outcome
from clbench.launch.spec import Spec
from clbench.launch.worker import do_one, how_as_json
from clbench.running.execute import How
from clbench.running.stops import Requests

RETRIES = 3
"""Of a task whose process or machine is gone."""
LOOK = 1.0
"""Seconds between two looks at what is asked of the list, and at how far its runs are."""


def ray(workers: Workers) -> Launcher:
    """The launcher. Raises UsageError where Ray is not installed, or the devices are named."""
    if workers.devices:
        raise UsageError("Expected no --devices with --launcher ray; ask for some: --ask num_gpus=1.")
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UsageError("Expected Ray for --launcher ray; pip install 'clbench[ray]'.") from error
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
    """Carry out a list of runs by tasks; see `Launcher`. `how.device` is a task's.

    Raises:
        UsageError, PluginError: a mistake in the list; the cluster cannot be reached, or is asked for what it has not.
    """
    away = Away.of(specs, how, listener, builder)
    if not away.todo:
        return away.outcome
    tasks = Tasks(workers, how, away, requests or Requests())
    with requests.listening() if requests else nullcontext():
        tasks.do(list(away.todo.values()), workers.jobs or len(away.todo))
        tasks.do(list(away.todo.values()), workers.jobs or len(away.todo))  # what others had
        for cell in away.short:
            away.again(cell)
            tasks.do([cell], 1)
        away.outcome.stop = tasks.requests.stop() if away.todo else None
    if not away.outcome.stop:
        away.give_up("Expected a task to do this run but it did not, and said nothing.")
    return away.outcome


class Tasks:
    """Tasks on a cluster, so many at once."""

    def __init__(self, workers: Workers, how: How, away: Away, requests: Requests) -> None:
        import ray

        self.requests = requests
        self._how, self._away = how_as_json(how), away
        asked = {key: _typed(value) for key, value in workers.asked.items()}
        address = asked.pop("address", None)
        try:
            if not ray.is_initialized():
                ray.init(address=address, runtime_env={"env_vars": _environment()}, log_to_driver=False)
            self._remote = ray.remote(do_one).options(**{"num_cpus": 1, "max_retries": RETRIES, **asked})
        except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
            raise UsageError(f"Expected a Ray cluster that takes what --ask says but got: {error}") from error

    def do(self, cells: Iterable[Cell], jobs: int) -> None:
        """Each once; what another process has is left."""
        import ray

        waiting, running, cancelled = deque(cells), dict[Any, Cell](), False
        while running or (waiting and not self.requests.pending()):
            while waiting and len(running) < jobs and not self.requests.pending():
                cell = waiting.popleft()
                running[self._remote.remote(shipped(cell), self._how)] = cell
            if self.requests.pending() and not cancelled:
                cancelled = True
                for task in running:
                    ray.cancel(task)  # as SIGINT does: it stops with a checkpoint
            ended, _ = ray.wait(list(running), timeout=LOOK)
            for task in ended:
                self._ended(task, running.pop(task))
            self._away.look()

    def _ended(self, task: Any, cell: Cell) -> None:
        import ray

        try:
            told = Outcome.from_json(ray.get(task))
        except ray.exceptions.TaskCancelledError:
            return
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[0]
            failure = Failure(
                Spec.from_json(shipped(cell)), Elsewhere(f"Expected its task to end but got: {said}"), cell.folder
            )
            told = Outcome(failures=[failure])
        self._away.take_in(told)


def _environment() -> Mapping[str, str]:
    """What a task's process needs of this one's: where it imports from, and what is set for clbench."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("CLBENCH_")}
    return {**ours, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def _typed(text: str) -> Any:
    """A number where it is one."""
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
