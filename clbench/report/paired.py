"""Paired tests: an exact permutation test of differences, and Holm's correction over many of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clbench.arrays import BoolArray, FloatArray
from clbench.randomness import generator
from clbench.report.intervals import ALPHA

EXACT = 16
"""Up to so many seeds every one of the 2^n sign patterns is looked at; above, DRAWS random ones."""
DRAWS = 99_999
TIE = 1e-9
"""Relative: sums that differ by less are equal, for numbers added in another order may differ in the last bits."""


@dataclass(frozen=True, eq=False)
class Paired:
    """Two series on the seeds that both have. first, second: (n,) values; p: two-sided; p_holm: corrected."""

    seeds: tuple[int, ...]
    first: FloatArray
    second: FloatArray
    p: float
    p_holm: float
    exact: bool

    @property
    def difference(self) -> float:
        """Mean of first - second over the seeds, of which there is one at least."""
        return float((self.first - self.second).mean())

    @property
    def significant(self) -> bool:
        return self.p_holm <= ALPHA


def paired_tests(pairs: Sequence[tuple[Mapping[int, float], Mapping[int, float]]]) -> list[Paired]:
    """Each pair of series (seed -> finite value) tested on its common seeds, corrected for how many pairs they are."""
    found = []
    for a, b in pairs:
        seeds = common_seeds(a, b)
        found.append((seeds, np.array([a[seed] for seed in seeds]), np.array([b[seed] for seed in seeds])))
    tested = [sign_flip_test(first - second) for _, first, second in found]
    corrected = holm([p for p, _ in tested])
    return [
        Paired(*series, p, p_holm, exact) for series, (p, exact), p_holm in zip(found, tested, corrected, strict=True)
    ]


def common_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[int, ...]:
    """The seeds that both have, in order."""
    return tuple(sorted(a.keys() & b.keys()))


def sign_flip_test(differences: FloatArray) -> tuple[float, bool]:
    """Two-sided paired permutation test of (n,) differences: p, and whether it is exact.

    Where neither is better, each difference might as well have the other sign: p is the share of sign patterns whose
    mean is at least as far from 0 as the one seen. The smallest that n seeds can give is 2^(1-n). Above EXACT seeds it
    is estimated from DRAWS random patterns, always the same ones, the seen one counted among them.
    """
    n = len(differences)
    extreme = _at_least(np.abs(_patterns(n) @ differences), abs(differences.sum()), differences)
    if n <= EXACT:
        return float(extreme.mean()), True
    return float((extreme.sum() + 1) / (DRAWS + 1)), False


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m times m - k + 1, never below an earlier one, at most 1."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def seeds_needed(pairs: int) -> int:
    """The fewest seeds with which the best of so many pairs can pass Holm's correction: pairs * 2^(1-n) <= ALPHA."""
    return math.ceil(1 - math.log2(ALPHA / pairs))


@lru_cache(maxsize=4)
def _patterns(n: int) -> FloatArray:
    """Signs (patterns, n): all of them up to EXACT, above DRAWS that are always the same."""
    if n <= EXACT:
        return np.where(np.arange(2**n)[:, None] >> np.arange(n) & 1, -1.0, 1.0)
    return generator(0, "sign flips", n).choice([-1.0, 1.0], size=(DRAWS, n))


def _at_least(sums: FloatArray, seen: float, differences: FloatArray) -> BoolArray:
    return sums >= seen - TIE * float(np.abs(differences).sum())
