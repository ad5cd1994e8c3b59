"""Forgetting: how much of a task's best value is gone after the last task.

Input is a matrix (T, T): entry [k, t] is a metric on task t's own test images and classes after the (k+1)-th trained
task; NaN where it is not defined. Rows before a task was trained do not count: the best value is the maximum over t <=
k < T - 1. (PRS evaluates a task only once it has been trained, so its maximum runs over the same rows.)

Source: relative: Kim et al. (PRS, ECCV 2020, arXiv 2009.03632), as released. Absolute: best minus last, as the field
has it.

Matched: both are their definition in plain loops within 1e-12
(tests/metrics/test_forgetting.py::test_equals_the_definition). PRS's two special cases where the best value is 0
(tests/metrics/test_forgetting.py::test_relative_forgetting_has_two_special_cases).

Differs: AGCN takes the drop from the value right after a task, on all test images so far; that is not offered.

Never run: beside PRS's own evaluation code.
"""

import warnings

import numpy as np

from clbench.arrays import FloatArray


def forgetting_per_task(matrix: FloatArray, *, relative: bool = False) -> FloatArray:
    """Forgetting of each task before the last one: (T - 1,) float64, negative where a task has improved.

    absolute: best - last. relative (Kim et al., PRS, ECCV 2020, arXiv 2009.03632, as released): (best - last) / |best|;
    where best is 0, it is 1 for last = 0 and -last otherwise. NaN where best or last is not defined.

    Raises:
        ValueError: a matrix that is not square.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a matrix (T, T) but got shape {matrix.shape}")
    last = matrix[-1, :-1]
    best = np.array([_largest(matrix[t:-1, t]) for t in range(len(matrix) - 1)], np.float64)
    if not relative:
        return best - last
    ratio = np.divide(best - last, np.abs(best), out=np.full_like(best, np.nan), where=best != 0)
    return np.where(best == 0, np.where(last == 0, 1.0, -last), ratio)


def mean_forgetting(matrix: FloatArray, *, relative: bool = False) -> float:
    """Mean over the tasks where forgetting is defined; NaN where there is none, as with a single task."""
    values = forgetting_per_task(matrix, relative=relative)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _largest(values: FloatArray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: the answer is NaN
        return float(np.nanmax(values))
