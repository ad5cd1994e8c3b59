"""Runs of one configuration on one data set become one row: mean, spread and count over its seeds."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from clbench.report.again import Again, farthest
from clbench.report.intervals import student_interval
from clbench.store.folder import DONE, STATES, Run

WHOLE = "all"
"""The view of runs that saw the whole scenario."""

ANGLE = "positive_angle"
"""The one metric that is no fraction: degrees, after the last task."""


COUNTS = ("steps", "gradient_images", "replayed_images")
"""Costs that are counted while a strategy learns (`clbench.learning.tally`); runs of older versions lack them."""
TUNING = {"trials": "trials", "tuning_seconds": "seconds"}
"""Column -> what a run's record of its recipe calls it: what was spent to choose its options."""


@dataclass(frozen=True)
class Row:
    """All runs of one configuration, in the order of their seeds.

    damaged: seeds whose folders cannot be used. recomputed: seeds whose metrics were computed again from their logits,
    and are the same. again: of these, seeds that were run a second time, with what that gave.
    """

    runs: tuple[Run, ...]
    damaged: tuple[int, ...] = ()
    recomputed: frozenset[int] = frozenset()
    again: Mapping[int, Again] = field(default_factory=dict, hash=False)

    @property
    def first(self) -> Run:
        return self.runs[0]

    @cached_property
    def done(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.state == DONE)

    @property
    def changed(self) -> dict[str, Any]:
        """Options that the user chose otherwise than the defaults."""
        return dict(self.first.config["changed"])

    @cached_property
    def told(self) -> dict[str, Any]:
        """What of `changed` names the row: not what its recipe chose, which its notes, csv and json tell."""
        recipe = self.first.config.get("recipe") or {}
        chosen = {option.rpartition(".")[2] for option in recipe.get("options", ())}
        return {name: value for name, value in self.changed.items() if name not in chosen}

    @property
    def label(self) -> str:
        """Strategy and what was changed, for a row that stands alone: `er (head=dlfl, lr=0.5)`, or `er (tuned)`."""
        return _named(self.first.strategy, self.told, ["tuned"] if self.tuning else [])

    @property
    def name(self) -> str:
        """The label without head and memory, which have columns of their own: `er (lr=0.5)`."""
        return self.spoken(())

    def spoken(self, parts: Sequence[str]) -> str:
        """The name with some parts that tell it from others: `er/dlfl/prs (lr=0.5)`."""
        told = {name: value for name, value in self.told.items() if name not in ("head", "memory")}
        return _named("/".join([self.first.strategy, *parts]), told)

    @property
    def head(self) -> str:
        return str(self.first.config["head"])

    @property
    def memory(self) -> str | None:
        """The memory's policy; None for a strategy without."""
        found = self.first.config["memory"]
        return None if found is None else str(found)

    @property
    def view(self) -> str:
        """How much of the scenario its runs saw."""
        return str(self.first.config["view"])

    @property
    def drawn(self) -> bool:
        """Whether each seed has drawn a class order of its own, so that its runs differ in their tasks."""
        return "drawn" in self.first.env["manifest"]

    @property
    def data(self) -> str:
        """The hash of the data that all its runs have: the manifest's, or of what each run's tasks were drawn from."""
        manifest = self.first.env["manifest"]
        return str(manifest["drawn"]["source"] if self.drawn else manifest["hash"])

    @property
    def frozen(self) -> bool:
        """Whether the backbone was not trained."""
        return bool(self.first.config["options"]["model"].get("freeze", "none") != "none")

    @property
    def leak(self) -> str | None:
        """Why the initial weights have seen the scenario's own data; None where nothing is known of it."""
        found = self.first.env.get("weights", {}).get("leak")
        return str(found) if found else None

    @cached_property
    def unlike_paper(self) -> dict[str, tuple[Any, Any]]:
        """`section.option` -> (its value, the paper's), where the scenario's paper has another.

        Empty where all is as there, no paper is known, or the run is older than this record.
        """
        config = self.first.config
        found = {}
        for name, theirs in (config.get("paper") or {"settings": {}})["settings"].items():
            section, _, option = name.partition(".")
            value = config["options"].get(section, {}).get(option)
            if value not in theirs:
                shown = config["changed"].get(option, value) if section == "model" else value  # a path's last part
                found[name] = shown, theirs[0]
        return found

    @cached_property
    def is_bound(self) -> bool:
        """Whether all tasks were learned at once: an upper bound, which no continual strategy competes with."""
        recorded = any(run.config.get("joint", False) for run in self.runs)
        return recorded or any(run.metrics["joint"] for run in self.done)  # runs that are older have it there alone

    @property
    def is_recomputed(self) -> bool:
        """Whether every number of the row was computed again from logits; else it is as the runs report it."""
        return bool(self.done) and self.recomputed >= {run.seed for run in self.done}

    @property
    def ran_again(self) -> str | None:
        """Which of its seeds were run a second time, and how that compares: `seed 0 of 3, same bits`; None for none."""
        if not self.again:
            return None
        seeds, of = sorted(self.again), "" if len(self.again) == len(self.done) else f" of {len(self.done)}"
        named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}{of}"
        return f"{named}, {farthest(self.again.values())}"

    @cached_property
    def states(self) -> Counter[str]:
        """State -> number of seeds."""
        return Counter(run.state for run in self.runs)

    @property
    def status(self) -> str:
        """`done`, or what the other seeds are: `2 done, 1 failed`."""
        if set(self.states) == {DONE}:
            return DONE
        return ", ".join(f"{self.states[state]} {state}" for state in STATES if state in self.states)

    def values(self, metric: str, group: str | None = None) -> list[float]:
        """One number for each seed that is done; NaN where the metric is not defined."""
        return [_number(_metrics(run, group).get(metric)) for run in self.done]

    def by_seed(self, metric: str, group: str | None = None) -> dict[int, float]:
        """Seed -> value, for the seeds that are done; NaN where the metric is not defined."""
        return {run.seed: value for run, value in zip(self.done, self.values(metric, group), strict=True)}

    def metric(self, metric: str, group: str | None = None) -> dict[str, Any]:
        """`{"mean", "sd", "ci95", "n"}` over the seeds; see `spread`."""
        return spread(self.values(metric, group))

    @cached_property
    def metric_names(self) -> list[str]:
        return list(_metrics(self.done[0], None)) if self.done else []

    @cached_property
    def group_names(self) -> list[str]:
        return list(self.done[0].metrics["groups"]) if self.done else []

    @cached_property
    def cost_names(self) -> list[str]:
        """The counts, recorded or not, and all else that is recorded of what the row's runs took."""
        recorded = (name for run in self.done for name in run.metrics["cost"])
        return list(dict.fromkeys([*COUNTS, *recorded])) if self.done else []

    @property
    def tuning(self) -> str | None:
        """What search chose its options: `20 trials on validation:0.1`; None where none did."""
        recipes = {run.seed: run.config.get("recipe") for run in self.runs}
        found = {seed: f"{r['trials']} trials on {r['view']}" if r else "no search" for seed, r in recipes.items()}
        if not any(recipes.values()):
            return None
        if len(set(found.values())) == 1:
            return next(iter(found.values()))
        return ", ".join(f"{search} (seed {seed})" for seed, search in found.items())

    def cost(self, name: str) -> dict[str, Any]:
        """`{"mean", "sd", "ci95", "n"}` of a cost, or of the search before the runs; seconds are summed over tasks.

        No mean where a seed lacks it.
        """
        if name in TUNING:
            recipes = [run.config.get("recipe") or {} for run in self.done]
            return spread([_number(recipe.get(TUNING[name])) for recipe in recipes])
        costs = (run.metrics["cost"].get(name) for run in self.done)
        return spread([_number(sum(cost) if isinstance(cost, list) else cost) for cost in costs])

    def matrix(self, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean over seeds of the task-by-task matrix (evaluations, T); NaN above the diagonal."""
        matrices = [np.array(run.metrics["matrix"][metric], np.float64) for run in self.done]
        mean: np.ndarray[Any, np.dtype[np.float64]] = np.mean(matrices, axis=0)
        return mean

    def as_json(self) -> dict[str, Any]:
        """The row as `clbench report --json` prints it."""
        run = self.first
        return {
            "scenario": run.scenario,
            "strategy": run.strategy,
            "head": self.head,
            "memory": self.memory,
            "config_hash": run.config_hash,
            "options": self.changed,
            "status": self.status,
            "view": self.view,
            "frozen": self.frozen,
            "leak": self.leak,
            "tuning": self.tuning,
            "bound": self.is_bound,
            "damaged": list(self.damaged),
            "recomputed": self.is_recomputed,
            "run_again": {str(seed): asdict(found) for seed, found in self.again.items()},
            "protocol": run.config["protocol"],
            "paper": run.config.get("paper"),
            "unlike_paper": {name: list(values) for name, values in self.unlike_paper.items()},
            "notes": data_notes([self]),
            "seeds": [done.seed for done in self.done],
            "metrics": {name: self.metric(name) for name in self.metric_names},
            "groups": {
                group: {name: self.metric(name, group) for name in _metrics(self.done[0], group)}
                for group in self.group_names
            },
            "cost": {name: self.cost(name) for name in self.cost_names},
            "reasons": {str(r.seed): r.status["reason"] for r in self.runs if r.state != DONE},
        }


def collect(runs: Iterable[Run]) -> list[Row]:
    """Rows in the order of the runs: one for each configuration (its hash holds the data's too)."""
    by_config: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        by_config.setdefault((run.scenario, run.strategy, run.config_hash), []).append(run)
    return [Row(tuple(members)) for members in by_config.values()]


def data_notes(rows: Sequence[Row]) -> list[str]:
    """What the data of rows that may stand in one table are without, or have otherwise than the scenario says.

    Of tasks that are drawn from the seed, what not every seed has is said with the seeds: `seed 0, 2: …`.
    """
    if not rows[0].drawn:
        return list(rows[0].first.env["manifest"]["notes"])
    by_seed = {run.seed: run.env["manifest"]["notes"] for row in rows for run in row.runs}
    seeds: dict[str, list[int]] = {}
    for seed, notes in sorted(by_seed.items()):
        for note in notes:
            seeds.setdefault(note, []).append(seed)
    return [
        note if len(having) == len(by_seed) else f"seed {', '.join(map(str, having))}: {note}"
        for note, having in seeds.items()
    ]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (ddof 1), Student's 95 % interval of the mean, and n.

    Any value that is not defined makes the mean undefined: nothing is averaged over the seeds that happen to have one.
    """
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        return {"mean": None, "sd": None, "ci95": None, "n": n}
    data = np.array(values, np.float64)
    mean = float(data.mean())
    ends = student_interval(data)
    sd = float(data.std(ddof=1)) if n > 1 else None
    return {"mean": mean, "sd": sd, "ci95": None if ends is None else list(ends), "n": n}


def _named(strategy: str, options: Mapping[str, Any], words: Sequence[str] = ()) -> str:
    listed = ", ".join([*(f"{name}={value}" for name, value in options.items()), *words])
    return f"{strategy} ({listed})" if listed else strategy


def _metrics(run: Run, group: str | None) -> Mapping[str, Any]:
    if group is not None:
        groups: Mapping[str, Mapping[str, Any]] = run.metrics["groups"]
        return groups.get(group, {})
    return {**run.metrics["final"], ANGLE: run.metrics["positive_angle"][-1]}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
