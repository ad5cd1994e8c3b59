"""A search of a method's options, with one budget for every method and no look at the test images.

A trial is an ordinary run, or one on each of several seeds, on a view that holds out training images, in a store of
its own. The trial with the highest mean of `METRIC` wins, the earlier of equals; one that diverged or failed is worst,
and is recorded. What is done, or has failed for good, is not run again: the same search goes on.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from clbench import __version__
from clbench.errors import ClbenchError, UsageError
from clbench.launch.cells import Builder, Cell, LaunchListener, no_others, run_all
from clbench.launch.samplers import SAMPLERS, Space
from clbench.launch.spec import Spec
from clbench.learning.listener import Listener
from clbench.running.config import Config
from clbench.running.execute import How
from clbench.running.recipe import NO_MEMORY, SCHEMA, load, read, recipe_file, write
from clbench.running.stops import Requests
from clbench.store.folder import DIVERGED, DONE, FAILED, SUMS, Run, run_name

METRIC = "mAP"
"""After the last task, over all of them: the first column of every report."""


@dataclass(frozen=True)
class Search:
    """One method's search.

    spec: the method, what is fixed of it, the view and the store of trials. seeds: of the runs of each trial. sampler:
    see `SAMPLERS`. seed: the sampler's.

    Raises:
        UsageError: the view holds nothing out, the method cannot be, or nothing of it is searched.
    """

    spec: Spec
    trials: int = 20
    seeds: tuple[int, ...] = (1000,)
    sampler: str = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        if "validation" not in self.config.view:
            raise UsageError(
                f"Expected a view that holds out training images, like validation or validation+first:3, but got "
                f"{self.config.view}: options are not chosen on test images."
            )
        if not self.space.ranges:
            raise UsageError(
                f"Expected options of {self.spec.strategy} to search but it has none with a range besides those that "
                "--set fixes; leave one of them out."
            )

    @cached_property
    def config(self) -> Config:
        return self.spec.config()

    @cached_property
    def space(self) -> Space:
        """Every option with a range that the user has not fixed."""
        ranges, defaults = {}, {}
        for section, options in self.config.options.items():
            for each in fields(options):
                key = f"{section}.{each.name}"
                if each.metadata.get("search") and key not in self.config.given:
                    ranges[key] = each.metadata["search"]
                    defaults[key] = getattr(options, each.name)
        return Space(ranges, defaults, self.trials, self.seed)

    def specs(self, settings: Mapping[str, Any]) -> list[Spec]:
        """A trial's runs."""
        settings = {**self.spec.settings, **settings}
        return [replace(self.spec, settings=settings, seed=seed) for seed in self.seeds]

    def file(self, recipes: Path) -> Path:
        """Where its recipe goes."""
        config = self.config
        return recipe_file(recipes, config.scenario, config.strategy, config.head, config.memory)


@dataclass(frozen=True)
class Trial:
    """What came of one trial.

    settings: `section.option` -> value. state: a run's that is not done, else done. score: the mean over its runs, a
    fraction; NaN if not all came to one. seconds: all that they took. runs: their names in the store.
    """

    number: int
    settings: Mapping[str, Any]
    state: str
    score: float
    seconds: float
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Launching:
    """How trials are carried out; see `run_all`. One for several searches builds their scenario once."""

    how: How
    listener: LaunchListener = field(default_factory=LaunchListener)
    listeners: Callable[[Cell], AbstractContextManager[Sequence[Listener]]] = no_others
    requests: Requests | None = None

    @cached_property
    def builder(self) -> Builder:
        return Builder(self.listener)


def tune(search: Search, launching: Launching) -> list[Trial]:
    """Every trial of a search; those that are done already are read.

    Raises:
        ClbenchError: it was stopped, or a run is another process's or failed of what may pass (a full disk, say): the
            same search goes on; or the data cannot be had.
    """
    sampler, trials = SAMPLERS[search.sampler](search.space), list[Trial]()
    while len(trials) < search.trials:
        proposals = sampler.propose([trial.score for trial in trials])
        specs = [search.specs(settings) for settings in proposals]
        folders = [[launching.builder.cell(spec, spec.config()).folder for spec in runs] for runs in specs]
        _carry_out(
            {folder: spec for f, s in zip(folders, specs, strict=True) for folder, spec in zip(f, s, strict=True)},
            launching,
        )
        first = len(trials)
        trials += [_trial(first + i, proposals[i], list(map(Run, each))) for i, each in enumerate(folders)]
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """The highest score, the earlier of equals. Raises ClbenchError where no trial has one."""
    scored = [trial for trial in trials if not math.isnan(trial.score)]
    if not scored:
        raise ClbenchError(
            f"Expected one of {len(trials)} trials to come to its end but all have {trials[0].state}; see "
            f"`clbench list runs` on their folder: {trials[0].runs[0]} is the first."
        )
    return max(scored, key=lambda trial: trial.score)


def check_recipe(file: Path, search: Search, force: bool) -> None:
    """Raises UsageError where a recipe would be replaced that is of another search, or of more trials of this one."""
    if force or not file.exists():
        return
    trials, (there, _), wanted = read(file).trials, load(file), identity(search)
    same = all(there[key] == wanted[key] for key in wanted if key != "search")
    same = same and all(there["search"].get(key) == value for key, value in wanted["search"].items())
    if not same or trials > search.trials:
        what = f"{trials} trials of this search" if same else "another search"
        raise UsageError(f"Expected no recipe in {file} but there is one of {what}; --force replaces it.")


def write_recipe(file: Path, search: Search, trials: Sequence[Trial]) -> Trial:
    """Write the recipe of a search that is done; returns the trial that it has its settings from. Raises StoreError."""
    chosen = best(trials)
    write(file, document(search, trials, chosen))
    return chosen


def document(search: Search, trials: Sequence[Trial], chosen: Trial) -> dict[str, Any]:
    """A recipe; see `clbench.running.recipe`. What the user fixed of a scenario is the scenario's, no setting."""
    whole = identity(search)
    fixed = {key: value for key, value in search.config.given.items() if not key.startswith("scenario.")}
    found = {
        "trials": search.trials,
        "best": chosen.number,
        "score": chosen.score,
        "seconds": round(sum(trial.seconds for trial in trials), 1),
        "version": __version__,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
    lines = [
        {
            "number": trial.number,
            "state": trial.state,
            "score": trial.score,
            "seconds": round(trial.seconds, 1),
            "runs": trial.runs,
            "settings": trial.settings,
        }
        for trial in trials
    ]
    settings = {**fixed, **chosen.settings}
    return {**whole, "settings": settings, "search": {**whole["search"], **found}, "trials": lines}


def identity(search: Search) -> dict[str, Any]:
    """What makes a search what it is, but for how many trials of it there were; as TOML reads it."""
    config = search.config
    return {
        "schema": SCHEMA,
        "scenario": config.scenario,
        "strategy": config.strategy,
        "head": config.head,
        "memory": config.memory or NO_MEMORY,
        "search": {
            "sampler": search.sampler,
            "seed": search.seed,
            "seeds": list(search.seeds),
            "view": config.view,
            "metric": METRIC,
            "ranges": {key: list(tried) for key, tried in search.space.ranges.items()},
            "fixed": dict(config.given),
        },
    }


def settled(folder: Path) -> bool:
    """Whether a run is done, or would end again as it has."""
    if not (folder / SUMS).exists():
        return False
    run = Run(folder)
    return run.state in (DONE, DIVERGED) or (run.state == FAILED and not run.status.get("may_pass"))


def _carry_out(runs: Mapping[Path, Spec], launching: Launching) -> None:
    """Run those that are not settled. Raises what keeps one of them from that."""
    left = {folder: spec for folder, spec in runs.items() if not settled(folder)}
    if not left:
        return
    outcome = run_all(
        list(left.values()),
        launching.how,
        listener=launching.listener,
        listeners=launching.listeners,
        requests=launching.requests,
        builder=launching.builder,
    )
    if outcome.stop:
        raise outcome.stop
    for failure in (*outcome.failures, *outcome.busy):
        if failure.folder is None or not settled(failure.folder):
            if isinstance(failure.error, ClbenchError):
                raise failure.error
            raise ClbenchError(f"{failure}; the same command goes on with the search.") from failure.error


def _trial(number: int, settings: Mapping[str, Any], runs: Sequence[Run]) -> Trial:
    scores = [_score(run) for run in runs]
    states = [run.state for run in runs if run.state != DONE]
    names = tuple(run_name(run) for run in runs)
    seconds = sum(_seconds(run) for run in runs)
    return Trial(number, settings, states[0] if states else DONE, sum(scores) / len(scores), seconds, names)


def _score(run: Run) -> float:
    """NaN where the run came to none."""
    value = run.metrics["final"][METRIC] if run.state == DONE else None
    return math.nan if value is None else float(value)


def _seconds(run: Run) -> float:
    """What a run took; one that failed has no record of it but its files' times."""
    if run.state != DONE:
        begun, ended = ((run.folder / name).stat().st_mtime for name in ("config.json", "status.json"))
        return max(0.0, ended - begun)
    cost = run.metrics["cost"]
    return float(cost["feature_seconds"] + sum(cost["train_seconds"]) + sum(cost["eval_seconds"]))
