"""What a search tries next: `random`, seeded and the same for every method, or Optuna's `optuna` (an extra)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clbench.errors import UsageError
from clbench.options import is_range
from clbench.randomness import generator

DIGITS = 3
"""Significant digits of what is drawn: enough for a search, and short in a label."""


@dataclass(frozen=True)
class Space:
    """What is searched.

    ranges: `section.option` -> what is tried, see `clbench.options.option`. defaults: what the method has unless told.
    seed: of the search, not of its runs.
    """

    ranges: Mapping[str, tuple[Any, ...]]
    defaults: Mapping[str, Any]
    trials: int
    seed: int


class Sampler(ABC):
    """Proposes settings, `section.option` -> value; the first trial has the defaults."""

    def __init__(self, space: Space) -> None:
        self.space = space

    @abstractmethod
    def propose(self, scores: Sequence[float]) -> list[dict[str, Any]]:
        """The settings of one or more trials that follow, given the scores of all before; NaN: it came to none.

        The same scores, told in the same order, give the same proposals.
        """


class RandomSampler(Sampler):
    """Independent draws: a trial's value of an option depends on the search's seed, the trial and the option alone.

    So two methods that share an option try the same values of it, and more trials begin with those of fewer.
    """

    def propose(self, scores: Sequence[float]) -> list[dict[str, Any]]:
        return [self._settings(number) for number in range(len(scores), self.space.trials)]

    def _settings(self, trial: int) -> dict[str, Any]:
        if trial == 0:
            return dict(self.space.defaults)
        seed = self.space.seed
        return {
            key: at(search, generator(seed, "tune", trial, key).random()) for key, search in self.space.ranges.items()
        }


class OptunaSampler(Sampler):
    """Optuna's tree-structured Parzen estimator, one trial at a time; a trial without a score teaches it nothing."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        try:
            import optuna
        except ImportError as error:
            raise UsageError(
                "Expected Optuna for --sampler optuna but it is not installed; `pip install 'clbench[optuna]'`."
            ) from error
        self._optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=space.seed % 2**32)
        )
        self._asked: list[Any] = []

    def propose(self, scores: Sequence[float]) -> list[dict[str, Any]]:
        if not scores:
            return [dict(self.space.defaults)]
        if len(scores) == 1:
            self._tell_defaults(scores[0])
        else:
            self._tell(self._asked[-1], scores[-1])
        trial = self._study.ask(self._distributions())
        self._asked.append(trial)
        return [{key: _shortened(search, trial.params[key]) for key, search in self.space.ranges.items()}]

    def _tell(self, trial: Any, score: float) -> None:
        if math.isnan(score):
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, score)

    def _tell_defaults(self, score: float) -> None:
        """A scenario's default may lie outside of what is searched; then Optuna does not hear of it."""
        ranges, defaults = self.space.ranges, self.space.defaults
        if not math.isnan(score) and all(within(ranges[key], defaults[key]) for key in ranges):
            made = self._optuna.trial.create_trial(
                params=dict(defaults), distributions=self._distributions(), value=score
            )
            self._study.add_trial(made)

    def _distributions(self) -> dict[str, Any]:
        return {key: self._distribution(search) for key, search in self.space.ranges.items()}

    def _distribution(self, search: tuple[Any, ...]) -> Any:
        of = self._optuna.distributions
        if not is_range(search):
            return of.CategoricalDistribution(search)
        low, high, scale = search
        kind = of.IntDistribution if isinstance(low, int) else of.FloatDistribution
        return kind(low, high, log=scale == "log")


SAMPLERS: Mapping[str, type[Sampler]] = {"random": RandomSampler, "optuna": OptunaSampler}
"""`--sampler` -> what it is."""


def at(search: tuple[Any, ...], u: float) -> Any:
    """What stands at u, in [0, 1), of what is tried: a value of its own type, within its ends."""
    if not is_range(search):
        return search[int(u * len(search))]
    low, high, scale = search
    if isinstance(low, int):
        low, high = low - 0.5, high + 0.5  # every whole number with its share
    value = low * (high / low) ** u if scale == "log" else low + u * (high - low)
    return _shortened(search, value)


def within(search: tuple[Any, ...], value: Any) -> bool:
    """Whether a value is one of those that are tried."""
    return bool(search[0] <= value <= search[1]) if is_range(search) else value in search


def _shortened(search: tuple[Any, ...], value: Any) -> Any:
    """Of a range: rounded, and within its ends."""
    if not is_range(search):
        return value
    low, high, _ = search
    rounded = round(value) if isinstance(low, int) else float(f"{value:.{DIGITS}g}")
    return min(max(rounded, low), high)
