"""How long runs will take, and what memory, from runs of the same kind that are done. Needs no torch.

Two runs are of one kind with the same scenario, strategy, head, memory, backbone and kind of device. Of those that are
done the nearest count: on the same processor, with the fewest options that differ. Training takes time in proportion to
the images of the stream, evaluation to the test images, so a run on a view, or of more epochs, tells of others.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from clbench.errors import StoreError
from clbench.store import shape
from clbench.store.folder import DONE, Run, find_runs

PROPORTIONAL = ("epochs",)
"""Options whose effect the numbers of images have already."""


SetUp = tuple[str, tuple[tuple[tuple[str, str], Any], ...]]
"""Processor, and ((section, option), value) of each option in order."""


Unlike = tuple[bool, int]
"""How far two set-ups are from each other: on another processor, and how many options differ."""


class Kind(NamedTuple):
    """What runs have in common that can tell of each other. memory: None without one. device: cpu or cuda."""

    scenario: str
    strategy: str
    head: str
    memory: str | None
    backbone: str
    device: str


@dataclass(frozen=True)
class Load:
    """What a run's time and memory depend on.

    processor: the name of its CPU or GPU. options: section -> option -> value. learned: images of the stream, all
    epochs. scored: test images, all tasks'.
    """

    kind: Kind
    processor: str
    options: Mapping[str, Mapping[str, Any]]
    learned: int
    scored: int

    @classmethod
    def of(cls, kind: Kind, processor: str, options: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Self:
        """tasks: as a manifest has them. Raises KeyError or TypeError where they say no numbers of images."""
        train, test = (sum(task[name] for task in tasks) for name in ("train", "test"))
        return cls(kind, processor, options, options["train"]["epochs"] * train, test * len(tasks))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind._asdict()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises ValueError or TypeError where it is not what `as_json` gave."""
        shape.check(value, shape.LOAD, "load")
        return cls(**{**value, "kind": Kind(**value["kind"])})

    @cached_property
    def set_up(self) -> SetUp:
        """All of it but the numbers of images."""
        flat = {(s, o): value for s, of in self.options.items() for o, value in of.items() if o not in PROPORTIONAL}
        return self.processor, tuple(sorted(flat.items()))


@dataclass(frozen=True)
class Estimate:
    """What a run from its start is thought to take. seconds: of one process that has it; memory_bytes: its largest, of
    the device on CUDA, None where nobody knows. source: what it is from, in words."""

    seconds: float
    memory_bytes: int | None
    source: str


class Cost(NamedTuple):
    """What a run took, or would have taken: seconds of learning, scoring and a frozen backbone's maps.

    timed: from its first steps alone.
    """

    load: Load
    learning: float
    scoring: float
    features: float
    memory_bytes: int
    timed: bool = False


class Experience:
    """What is known of runs, by their kind."""

    def __init__(self) -> None:
        self._costs: dict[Kind, dict[SetUp, list[Cost]]] = {}
        self._nearest: dict[tuple[Kind, SetUp], tuple[list[Cost], Unlike]] = {}
        self._going: dict[Kind, float] = {}

    def learn(self, out: Path, kinds: Iterable[Kind]) -> None:
        """From the runs below a results folder that are done and of some kind; what cannot be read tells nothing."""
        wanted = {(kind.scenario, kind.strategy) for kind in kinds}
        for run in find_runs(out) if out.is_dir() else ():
            if (run.scenario, run.strategy) in wanted:
                self.learn_from(run)

    def learn_from(self, run: Run) -> None:
        """From one run, where it is done and says enough."""
        with suppress(StoreError, KeyError, TypeError):  # older runs lack numbers
            if run.state == DONE:
                self.add(_cost_of_run(run))

    def add(self, cost: Cost) -> None:
        self._costs.setdefault(cost.load.kind, {}).setdefault(cost.load.set_up, []).append(cost)
        self._nearest.clear()

    def add_going(self, load: Load, seconds: float) -> None:
        """Learn from a run that goes on, what all of it seems to take; it counts while none of its kind is done."""
        self._going[load.kind] = seconds / max(1, load.learned)

    def of(self, load: Load) -> Estimate | None:
        """What a run will take; None where no other of its kind tells."""
        if alike := self._costs.get(load.kind):
            key = load.kind, load.set_up
            if key not in self._nearest:
                unlike = {_unlike(load.set_up, other): costs for other, costs in reversed(alike.items())}
                self._nearest[key] = unlike[min(unlike)], min(unlike)
            return _mean(load, *self._nearest[key])
        if load.kind in self._going:
            return Estimate(load.learned * self._going[load.kind], None, "a run that goes on")
        return None


def load_of_run(run: Run) -> Load:
    """From a run's folder. Raises StoreError, and KeyError or TypeError where it says too little, as older ones do."""
    config, env = run.config, run.env
    options, device = config["options"], str(env["device"]).partition(":")[0]
    kind = Kind(run.scenario, run.strategy, config["head"], config["memory"], options["model"]["backbone"], device)
    return Load.of(kind, str(env["gpu"] or env["cpu"]), options, env["manifest"]["tasks"])


def _cost_of_run(run: Run) -> Cost:
    cost, load = run.metrics["cost"], load_of_run(run)
    features = cost.get("feature_seconds") or 0.0
    return Cost(load, sum(cost["train_seconds"]), sum(cost["eval_seconds"]), features, cost["peak_memory_bytes"])


def _mean(load: Load, nearest: Sequence[Cost], unlike: Unlike) -> Estimate:
    """The mean over those with one set-up, the nearest, each in proportion."""
    seconds = [
        cost.features
        + cost.learning * load.learned / max(1, cost.load.learned)
        + cost.scoring * load.scored / max(1, cost.load.scored)
        for cost in nearest
    ]
    count = "timed" if nearest[0].timed else f"{len(nearest)} run{'s' * (len(nearest) > 1)}"
    source = count + ("" if unlike == (False, 0) else ", other options" if unlike[1] else ", elsewhere")
    return Estimate(sum(seconds) / len(seconds), max(cost.memory_bytes for cost in nearest), source)


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Seconds until the last of a list has ended, when each of so many workers takes the next as it becomes free."""
    ends = [0.0] * max(1, jobs)
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _unlike(mine: SetUp, other: SetUp) -> Unlike:
    """Whether the processors differ, and how many options."""
    one, two = dict(mine[1]), dict(other[1])
    return mine[0] != other[0], sum(one.get(key) != two.get(key) for key in one.keys() | two.keys())
