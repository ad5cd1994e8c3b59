"""A list of runs, one after another in this process: every launcher's inner loop. It prints nothing: listeners hear."""

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from clbench.errors import StoreError, UsageError
from clbench.files import digest
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.learning.engine import choose_device
from clbench.learning.listener import Listener
from clbench.learning.world import world
from clbench.running.build import Prepared, build_scenario, check, seeded
from clbench.running.config import Config
from clbench.running.execute import How, execute
from clbench.running.stops import Requests, Stopped
from clbench.scenario.tasks import Scenario
from clbench.store.folder import Run, finished, run_folder
from clbench.store.heartbeat import Heartbeat
from clbench.store.lock import Busy

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a list, with its data."""

    spec: Spec
    prepared: Prepared

    def __str__(self) -> str:
        return f"{self.method} seed {self.spec.seed}"

    @property
    def method(self) -> str:
        """What it is but for its seed; see `Spec.called`."""
        return self.spec.called(self.prepared.scenario.name)

    @property
    def folder(self) -> Path:
        return self.prepared.folder(self.spec.out, self.spec.seed)


class LaunchListener(Listener):
    """Hears what becomes of a list of runs, besides what each of them tells; every method may be left as it is."""

    def building(self, scenario: str) -> None:
        """A scenario is about to be built, once for all runs on it; one that is drawn from the seed, once for each."""

    def planned(self, cells: Sequence[Cell], failures: Sequence[Failure]) -> None:
        """All is built: these runs follow, and those cannot begin."""

    def started(self, cell: Cell) -> None:
        """A run that is not done begins, or goes on."""

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        """A run that another process was given is so far; told every few seconds, by launchers that start such."""

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        """A run has come to its end, so long after it was started."""

    def done_already(self, cell: Cell, run: Run) -> None:
        """A run was done before."""

    def left(self, cell: Cell, error: Busy) -> None:
        """A run is left to the process that has it; it is looked at once more in the end."""

    def failed(self, failure: Failure) -> None:
        """A run that was to be done has failed."""


def no_others(cell: Cell) -> AbstractContextManager[Sequence[Listener]]:
    """No listeners of its own for a run."""
    return nullcontext(())


def run_all(
    specs: Sequence[Spec],
    how: How,
    *,
    listener: LaunchListener,
    listeners: Callable[[Cell], AbstractContextManager[Sequence[Listener]]] = no_others,
    requests: Requests | None = None,
    builder: "Builder | None" = None,
    again: bool = True,
) -> Outcome:
    """Run each that is not done; what another process has is left to it and looked at once more in the end.

    Each distinct scenario is built once, before the first run. One that cannot be built, and a run that fails, do not
    keep the others from running.

    listener: hears of the list, and all that its runs tell; nobody else says that a checkpoint is damaged. listeners:
    those of one run alone, entered while it goes on. requests: what may ask the list to stop; with them signals are
    heard as well, which takes the main thread. builder: what lists before this one have built, to be used again.
    again: whether to look once more; False of a part of a longer list.

    Raises:
        UsageError, PluginError: a mistake in the list or in `how`; nothing was built.
    """
    choose_device(how.device)  # or the data would be read in vain
    if world().size > 1:
        if len(specs) > 1:
            raise UsageError(
                f"Expected one run for the processes that torchrun started but got {len(specs)}; name one."
            )
        listeners = listeners if world().rank == 0 else no_others
    configs = [spec.config() for spec in specs]
    cells, failures = built(specs, configs, builder or Builder(listener))
    listener.planned(cells, failures)
    turns = _Turns(how, listener, listeners, requests or Requests(), Outcome(failures=failures))
    try:
        with requests.listening() if requests else nullcontext():
            busy = turns.take(cells)
            busy = turns.take(busy) if again else busy
            turns.outcome.busy = [Failure(cell.spec, error, cell.folder) for cell, error in busy.items()]
    except Stopped as stop:
        turns.outcome.stop = _without_frames(stop)
    return turns.outcome


@dataclass(frozen=True)
class _Turns:
    """Takes the runs of a list one after another, and notes what becomes of each."""

    how: How
    listener: LaunchListener
    listeners: Callable[[Cell], AbstractContextManager[Sequence[Listener]]]
    requests: Requests
    outcome: Outcome

    def take(self, cells: Iterable[Cell]) -> dict[Cell, Busy]:
        """Run each; returns those that another process has. Raises Stopped."""
        left = {}
        for cell in cells:
            if stop := self.requests.stop():
                raise stop
            try:
                self.outcome.runs.append(self._run(cell))
            except Stopped:
                raise
            except Busy as error:
                left[cell] = _without_frames(error)
                self.listener.left(cell, error)
            except Exception as error:
                failure = Failure(cell.spec, _without_frames(error), cell.folder)
                self.outcome.failures.append(failure)
                self.listener.failed(failure)
        return left

    def _run(self, cell: Cell) -> Run:
        existing = None if self.how.rerun else finished(cell.folder)
        if existing:
            self.listener.done_already(cell, existing)
            return existing
        started, begun = time.monotonic(), _Begun()
        self.listener.started(cell)
        with self.listeners(cell) as others:
            heard_by = [self.listener, begun, *others]
            seed, out = cell.spec.seed, cell.spec.out
            run = execute(cell.prepared, seed, out, self.how, listeners=heard_by, requests=self.requests)
        if begun.begun:
            self.listener.done(cell, run, time.monotonic() - started)
        else:
            self.listener.done_already(cell, run)  # by the process whose lock this one has waited for
        return run


class _Begun(Listener):
    """Whether anything was done in a run."""

    begun = False

    def features(self, done: int, total: int) -> None:
        self.begun = True

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self.begun = True


def built(specs: Sequence[Spec], configs: Sequence[Config], builder: "Builder") -> tuple[list[Cell], list[Failure]]:
    """Every run of a list with its data, as far as they can be had, and why not. configs: of each specification."""
    cells, failures = [], []
    for spec, config in zip(specs, configs, strict=True):
        try:
            cells.append(builder.cell(spec, config))
        except Exception as error:
            failures.append(Failure(spec, _without_frames(error)))
    return cells, failures


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """Without those that come to the same run as one before: there are several ways to say it."""
    found: dict[Path, Cell] = {}
    for cell in cells:
        found.setdefault(cell.folder, cell)
    return list(found.values())


class Builder:
    """Builds each distinct scenario, and each distinct configuration on it, once; an error is raised again.

    A scenario that is drawn from the seed is another one for each seed.
    """

    def __init__(self, listener: LaunchListener) -> None:
        self._listener = listener
        self._scenarios: dict[str, Scenario | Exception] = {}
        self._prepared: dict[str, Prepared | Exception] = {}

    def cell(self, spec: Spec, config: Config) -> Cell:
        """A run with its data. Raises StoreError where they do not come to what the run was."""
        key = digest({"config": config.resolved(), "data_root": str(spec.data_root), "seed": _drawing(spec, config)})
        prepared = _once(self._prepared, key, lambda: self._prepare(spec, config))
        if spec.config_hash not in (None, prepared.config_hash):
            folder = run_folder(spec.out, prepared.scenario.name, config.strategy, str(spec.config_hash), spec.seed)
            raise StoreError(
                f"Expected {folder} to go on with configuration {spec.config_hash} but it is {prepared.config_hash} "
                f"now: {_changes(prepared, folder)}; bring back what it was, or use `clbench run`."
            )
        return Cell(spec, prepared)

    def _prepare(self, spec: Spec, config: Config) -> Prepared:
        check(config, spec.data_root)  # what is typed wrong is told at once
        of_scenario = {"options": asdict(config.options["scenario"]), "data_root": str(spec.data_root)}
        key = digest({"scenario": config.scenario, "view": config.view, "seed": _drawing(spec, config), **of_scenario})
        prepared = Prepared(config, _once(self._scenarios, key, lambda: self._build(spec, config)))
        _ = prepared.config_hash  # reads the weights: what is missing is known before the first run
        return prepared

    def _build(self, spec: Spec, config: Config) -> Scenario:
        drawn = _drawing(spec, config)
        self._listener.building(spec.scenario if drawn is None else f"{spec.scenario} of seed {drawn}")
        return build_scenario(config, spec.data_root, spec.seed)


def _changes(prepared: Prepared, folder: Path) -> str:
    try:
        return prepared.changes(Run(folder).env)
    except StoreError:  # a folder that has lost its env.json, or was moved
        return "the data, the weights or clbench have changed"


def _drawing(spec: Spec, config: Config) -> int | None:
    """The seed that draws the scenario; None for one that is the same for all."""
    return spec.seed if seeded(config) else None


def _once(known: dict[str, T | Exception], key: str, make: Callable[[], T]) -> T:
    """What `make` gave, or raised, when it was called for the key."""
    if key not in known:
        try:
            known[key] = make()
        except Exception as error:
            known[key] = error
    found = known[key]
    if isinstance(found, Exception):
        raise found
    return found


def _without_frames(error: E) -> E:
    """The same error; the variables of where it was raised are given up, or a run that failed would keep its model."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__
    return error
