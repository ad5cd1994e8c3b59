import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_rel

from clbench.report.intervals import student_interval
from clbench.report.rows import spread


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=8).filter(lambda values: np.ptp(values) > 1e-6))
def test_the_interval_is_scipys(values: list[float]) -> None:
    n = len(values)
    expected = t.interval(0.95, n - 1, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(n))
    assert student_interval(values) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert spread(values)["ci95"] == list(student_interval(values) or ())


def test_the_interval_of_differences_is_that_of_scipys_paired_test() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert student_interval(a - b) == pytest.approx((expected.low, expected.high))


def test_the_interval_by_hand() -> None:
    # mean 2, sd 1, n 3; any table has 4.303 as Student's 97.5 % quantile at 2 degrees of freedom
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    assert student_interval([0.25, 0.25, 0.25]) == (0.25, 0.25)


def test_fewer_than_three_values_have_none() -> None:
    assert student_interval([0.0, 1.0]) is None and student_interval([0.5]) is None and student_interval([]) is None
    assert spread([0.0, 1.0]) == {"mean": 0.5, "sd": pytest.approx(0.5**0.5), "ci95": None, "n": 2}


@pytest.mark.parametrize("n", [3, 5])
def test_it_holds_the_mean_of_normal_samples_as_often_as_it_says(n: int) -> None:
    """Four thousand samples; a bootstrap's interval held it in 74 % (n = 3) and 84 % (n = 5)."""
    samples = np.random.default_rng(n).normal(0.3, 0.1, size=(4000, n))
    ends = np.array([spread(sample.tolist())["ci95"] for sample in samples])
    held = ((ends[:, 0] <= 0.3) & (ends[:, 1] >= 0.3)).mean()
    assert 0.94 <= held <= 0.96
