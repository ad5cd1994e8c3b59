"""What a list of runs will be: each with its state, and how long it and what it takes is thought to be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clbench import plugins
from clbench.launch.cells import Cell
from clbench.launch.estimates import Estimate, Experience, Kind, Load, makespan
from clbench.launch.trial import timed
from clbench.learning.engine import choose_device
from clbench.learning.trainer import stages_of
from clbench.running.environment import cpu_model
from clbench.running.execute import How
from clbench.store.folder import DONE
from clbench.store.plans import PlannedRun, share_done, state_of


@dataclass(frozen=True)
class Planned:
    """A run of a plan.

    state: see `clbench.store.plans.state_of`. estimate: of the whole run; None where nothing is known. left: seconds
    that it still takes.
    """

    cell: Cell
    state: str
    estimate: Estimate | None
    left: float | None

    def as_json(self) -> dict[str, Any]:
        estimate = self.estimate
        return {
            "cell": str(self.cell),
            "spec": self.cell.spec.as_json(),
            "folder": str(self.cell.folder),
            "state": self.state,
            "seconds": estimate and estimate.seconds,
            "seconds_left": self.left,
            "memory_bytes": estimate and estimate.memory_bytes,
            "from": estimate and estimate.source,
        }


def load_of(cell: Cell, device: torch.device) -> Load:
    """What a run's time and memory depend on, on a device."""
    config, scenario = cell.prepared.config, cell.prepared.scenario
    options = config.resolved()["options"]
    kind = Kind(scenario.name, config.strategy, config.head, config.memory, options["model"]["backbone"], device.type)
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()
    return Load.of(kind, processor, options, cell.prepared.manifest["tasks"])


def steps_of(cell: Cell) -> int:
    """Of all tasks; 0 of joint training, where only the strategy knows."""
    config = cell.prepared.config
    if plugins.load("strategy", config.strategy).joint:
        return 0
    return sum(stage.steps for stage in stages_of(cell.prepared.scenario, config.options["train"]))


def plan(cells: Sequence[Cell], how: How, failed: Callable[[Cell, Exception], None]) -> list[Planned]:
    """Each run's state and what it takes; from runs that are done in its store, else from a few first steps.

    failed: is told of a run whose first steps fail; nothing is known of its kind then. Raises UsageError where there is
    no such device.
    """
    device = choose_device(how.device)
    known, hopeless = experience(cells, device), set[Kind]()
    planned = []
    for cell in cells:
        load, state = load_of(cell, device), state_of(cell.folder)
        if state != DONE and known.of(load) is None and load.kind not in hopeless:
            try:
                known.add(timed(cell.prepared, load, cell.spec.seed, device, how.workers))
            except Exception as error:
                hopeless.add(load.kind)
                failed(cell, error)
        planned.append(_planned(cell, state, known.of(load)))
    return planned


def experience(cells: Sequence[Cell], device: torch.device) -> Experience:
    """What the stores that runs go to tell of their kinds."""
    known, kinds = Experience(), {load_of(cell, device).kind for cell in cells}
    for out in dict.fromkeys(cell.spec.out for cell in cells):
        known.learn(out, kinds)
    return known


def _planned(cell: Cell, state: str, estimate: Estimate | None) -> Planned:
    if state == DONE:
        return Planned(cell, state, estimate, 0.0)
    share, _ = share_done(cell.folder, steps_of(cell))
    return Planned(cell, state, estimate, None if estimate is None else estimate.seconds * (1 - share))


def planned_runs(cells: Sequence[Cell], device: torch.device) -> list[PlannedRun]:
    """The runs as a plan in a store says them; see `clbench.store.plans`."""
    return [
        PlannedRun(
            cell.folder.relative_to(cell.spec.out).as_posix(),
            str(cell),
            steps_of(cell),
            cell.spec.as_json(),
            load_of(cell, device).as_json(),
        )
        for cell in cells
    ]


def by_jobs(planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """Seconds that the list takes with 1, 2, 4 … worker processes, and the memory of as many of its largest runs."""
    left = [each for each in planned if each.state != DONE]
    seconds = [each.left or 0.0 for each in left]
    memory = sorted((each.estimate.memory_bytes or 0 for each in left if each.estimate), reverse=True)
    jobs = [2**power for power in range(max(1, len(left)).bit_length())]
    if left and jobs[-1] != len(left):
        jobs.append(len(left))
    return [{"jobs": n, "seconds": makespan(seconds, n), "memory_bytes": sum(memory[:n]) or None} for n in jobs if left]
