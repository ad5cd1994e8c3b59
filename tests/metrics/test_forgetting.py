import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clbench.arrays import FloatArray
from clbench.metrics import forgetting_per_task, mean_forgetting

NAN = math.nan
MATRIX = np.array([[0.8, 0.9, 0.9], [0.6, 0.7, 0.9], [0.5, 0.9, 0.4]])
"""[after task, on task]; the upper triangle is what an untrained task would give and must not count."""


def test_by_hand() -> None:
    # task 0: best of 0.8, 0.6; last 0.5. task 1: best 0.7 (not the 0.9 before it was trained); last 0.9
    assert forgetting_per_task(MATRIX) == pytest.approx([0.3, -0.2])
    assert forgetting_per_task(MATRIX, relative=True) == pytest.approx([0.3 / 0.8, -0.2 / 0.7])
    assert mean_forgetting(MATRIX) == pytest.approx(0.05)
    assert mean_forgetting(MATRIX, relative=True) == pytest.approx((0.3 / 0.8 - 0.2 / 0.7) / 2)


def test_relative_forgetting_has_two_special_cases() -> None:
    nothing = np.array([[0.0, NAN, NAN], [0.0, 0.0, NAN], [0.0, 0.25, 0.1]])
    assert forgetting_per_task(nothing, relative=True).tolist() == [1.0, -0.25]
    assert forgetting_per_task(nothing).tolist() == [0.0, -0.25]


def test_tasks_without_a_value_are_left_out() -> None:
    some = np.array([[NAN, NAN, NAN], [NAN, 0.7, NAN], [NAN, 0.5, 0.4]])
    assert mean_forgetting(some) == pytest.approx(0.2)
    assert math.isnan(mean_forgetting(np.full((3, 3), NAN)))
    assert math.isnan(mean_forgetting(np.array([[0.5]])))


def test_only_square_matrices() -> None:
    with pytest.raises(ValueError, match=r"a matrix \(T, T\) but got shape \(1, 3\)"):
        forgetting_per_task(np.zeros((1, 3)))


@given(
    st.integers(2, 6).flatmap(lambda t: arrays(np.float64, (t, t), elements=st.integers(0, 20).map(lambda n: n / 20)))
)
def test_equals_the_definition(matrix: FloatArray) -> None:
    tasks = len(matrix)
    absolute, relative = [], []
    for t in range(tasks - 1):
        best = max(matrix[k, t] for k in range(t, tasks - 1))
        last = matrix[tasks - 1, t]
        absolute.append(best - last)
        relative.append((1.0 if last == 0 else -last) if best == 0 else (best - last) / best)
    np.testing.assert_allclose(forgetting_per_task(matrix), absolute, rtol=0, atol=1e-12)
    np.testing.assert_allclose(forgetting_per_task(matrix, relative=True), relative, rtol=0, atol=1e-12)
