import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.errors import UsageError
from clbench.launch.samplers import RandomSampler, Sampler, Space, at, within
from clbench.options import is_range

RANGES: dict[str, tuple[Any, ...]] = {
    "train.lr": (1e-5, 1e-2, "log"),
    "memory.rho": (-0.5, 0.5, "linear"),
    "strategy.steps": (1, 100, "log"),
    "train.loss": ("bce", "asl"),
}
DEFAULTS = {"train.lr": 1e-4, "memory.rho": 0.0, "strategy.steps": 3, "train.loss": "bce"}
UNIT = st.floats(0, 1, exclude_max=True)


def space(*keys: str, trials: int = 20, seed: int = 0) -> Space:
    chosen = keys or tuple(RANGES)
    return Space({k: RANGES[k] for k in chosen}, {k: DEFAULTS[k] for k in chosen}, trials, seed)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["int", "float", "values"]))
    if kind == "values":
        return tuple(draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=5, unique=True)))
    scale = draw(st.sampled_from(["log", "linear"]))
    least = (1 if kind == "int" else 1e-9) if scale == "log" else (-1000 if kind == "int" else -1e3)
    numbers = st.integers(int(least), 1000) if kind == "int" else st.floats(least, 1e3)
    low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    return low, high, scale


@given(searches(), UNIT)
def test_a_draw_is_one_of_what_is_tried_and_of_its_type(search: tuple[Any, ...], u: float) -> None:
    value = at(search, u)
    assert within(search, value) and type(value) is type(search[0])
    assert at(search, u) == value
    if is_range(search) and isinstance(value, float) and value not in search:
        assert float(f"{value:.3g}") == value


def test_a_range_is_drawn_evenly_in_its_scale() -> None:
    assert [at((1e-4, 1e-2, "log"), u) for u in (0.0, 0.5, 1 - 1e-12)] == [1e-4, 1e-3, 1e-2]
    assert [at((-1.0, 3.0, "linear"), u) for u in (0.0, 0.5, 1 - 1e-12)] == [-1.0, 1.0, 3.0]
    whole = [at((1, 4, "linear"), (i + 0.5) / 400) for i in range(400)]
    assert [whole.count(n) for n in (1, 2, 3, 4)] == [100] * 4
    assert [at(("a", "b"), u) for u in (0.0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]


def test_the_first_trial_has_the_defaults_and_the_rest_are_seeded() -> None:
    first, again = (RandomSampler(space()).propose([]) for _ in range(2))
    assert first == again and first[0] == DEFAULTS and len(first) == 20
    assert RandomSampler(space(seed=1)).propose([])[1:] != first[1:]
    assert len({tuple(trial.values()) for trial in first}) == 20
    assert all(within(RANGES[key], value) for trial in first for key, value in trial.items())


def test_methods_that_share_an_option_try_the_same_values() -> None:
    one, other = (RandomSampler(space(*keys)).propose([]) for keys in (("train.lr",), tuple(reversed(RANGES))))
    assert [trial["train.lr"] for trial in one] == [trial["train.lr"] for trial in other]


def test_more_trials_begin_with_those_of_fewer() -> None:
    few, many = (RandomSampler(space(trials=n)).propose([]) for n in (3, 30))
    assert many[:3] == few
    assert RandomSampler(space(trials=30)).propose([0.5] * 10) == many[10:]


def told(sampler: Sampler, scores: list[float]) -> list[dict[str, Any]]:
    """What is proposed, one trial after the other, where these scores come of it."""
    found: list[dict[str, Any]] = []
    for number in range(len(scores)):
        [proposal] = sampler.propose(scores[:number])
        found.append(proposal)
    return found


def test_optuna_proposes_the_same_again_when_told_the_same() -> None:
    pytest.importorskip("optuna")
    from clbench.launch.samplers import OptunaSampler

    scores = [0.2, 0.3, math.nan, *(0.01 * (i * 7 % 13) for i in range(13))]
    one, again = (told(OptunaSampler(space()), scores) for _ in range(2))
    assert one == again and one[0] == DEFAULTS
    assert all(within(RANGES[key], value) for trial in one for key, value in trial.items())
    others = told(OptunaSampler(space()), [0.2, 0.3, math.nan, *(1 - score for score in scores[3:])])
    assert others[:4] == one[:4] and others != one  # it learns from what it is told


def test_optuna_does_not_mind_a_default_out_of_range() -> None:
    pytest.importorskip("optuna")
    from clbench.launch.samplers import OptunaSampler

    made = Space({"train.lr": RANGES["train.lr"]}, {"train.lr": 0.5}, 3, 0)
    assert told(OptunaSampler(made), [0.1, 0.2, 0.3])[0] == {"train.lr": 0.5}


def test_optuna_takes_any_seed() -> None:
    pytest.importorskip("optuna")
    from clbench.launch.samplers import OptunaSampler

    one, same, other = (told(OptunaSampler(space(seed=seed)), [0.1, 0.2]) for seed in (2**32 + 7, 7, 8))
    assert one == same != other


def test_optuna_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from clbench.launch.samplers import OptunaSampler

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'clbench\[optuna\]'"):
        OptunaSampler(space())
