"""Student's interval of a mean: the one interval that tables, files and comparisons print."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from clbench.arrays import FloatArray

ALPHA = 0.05
"""Level of the tests; intervals hold 1 - ALPHA."""
FEWEST = 3
"""Values that an interval or a test takes: of two, Student's interval reaches 12.7 standard errors to each side."""


def student_interval(values: Sequence[float] | FloatArray) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of (n,) finite values, which it takes for normal; None for n < FEWEST.

    No bootstrap here: resampling three values gives intervals that hold the mean in 74 % of all cases, five in 84 %.
    Of fractions the ends may lie beyond 0 and 1; they are not cut, as that would hide how little is known.
    """
    data = np.asarray(values, np.float64)
    n = len(data)
    if n < FEWEST:
        return None
    mean, half = float(data.mean()), _quantile(n - 1) * float(data.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


@cache
def _quantile(freedom: int) -> float:
    """Student's quantile at 1 - ALPHA / 2."""
    from scipy.special import stdtrit  # scipy.stats takes four times as long to import

    return float(stdtrit(freedom, 1 - ALPHA / 2))
