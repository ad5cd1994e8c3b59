import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.report.rows import spread

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


@given(VALUES)
def test_spread_is_numpys(values: list[float]) -> None:
    found = spread(values)
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-12)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    low, high = found["ci95"]
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


def test_one_seed_has_no_spread() -> None:
    assert spread([0.5]) == {"mean": 0.5, "sd": None, "ci95": None, "n": 1}


def test_nothing_is_averaged_over_a_missing_value() -> None:
    assert spread([0.5, math.nan, 0.7]) == {"mean": None, "sd": None, "ci95": None, "n": 3}
    assert spread([]) == {"mean": None, "sd": None, "ci95": None, "n": 0}


def test_the_interval_covers_the_mean_of_a_normal_sample_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        low, high = spread(rng.normal(0.3, 0.1, 30).tolist())["ci95"]
        hits += low <= 0.3 <= high
    assert 0.90 <= hits / 300 <= 0.98
