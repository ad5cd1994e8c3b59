"""Which row is best, where a test says so; elsewhere nobody is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clbench.report.compare import holm, seeds_needed, sign_flip_test
from clbench.report.intervals import ALPHA
from clbench.report.ranks import contenders
from clbench.report.rows import Row

BEST, SECOND = "best", "second"
HIGHER = ("mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1", "average_mAP", "average_CF1", "average_OF1")
"""Metrics of which more is better. Of forgetting less is; no other column has a best row."""


@dataclass(frozen=True)
class Standing:
    """Place in the table -> `best` or `second`; the seeds and the number of tests behind it."""

    styles: dict[int, str]
    seeds: int
    tests: int


def standing(rows: Sequence[Row], column: str) -> Standing | None:
    """The best row and the second best of a column; None where the column has no best, or fewer than two rows compete.

    On the seeds that all contenders have: the best against the second, the second against the third, by a paired
    permutation test with Holm's correction over these tests. A second is named only where there is a best.
    """
    name, _, group = column.partition(":")
    if name not in HIGHER and not name.startswith("forgetting"):
        return None
    found = {rows.index(row): row.by_seed(name, group or None) for row in contenders(rows)}
    found = {place: values for place, values in found.items() if np.isfinite(list(values.values())).all()}
    if len(found) < 2:
        return None
    seeds = sorted(set.intersection(*(set(values) for values in found.values())))
    tests = min(2, len(found) - 1)
    if len(seeds) < seeds_needed(tests):
        return Standing({}, len(seeds), tests)
    sign = 1.0 if name in HIGHER else -1.0
    block = {place: sign * np.array([values[seed] for seed in seeds]) for place, values in found.items()}
    order = sorted(block, key=lambda place: -float(block[place].mean()))
    p_values = holm([sign_flip_test(block[order[i]] - block[order[i + 1]])[0] for i in range(tests)])
    styles = {}
    for place, style, p in zip(order, (BEST, SECOND), p_values, strict=False):
        if p > ALPHA:
            break
        styles[place] = style
    return Standing(styles, len(seeds), tests)


def note(standings: Sequence[Standing | None]) -> str:
    """What the marks mean, or why there are none."""
    found = [standing for standing in standings if standing is not None]
    test = "paired permutation test over seeds, Holm's correction, 5 %"
    if any(standing.styles for standing in found):
        return (
            f"Bold: best; underlined: second best; only where the difference to the next is significant ({test}). "
            "Upper bounds and leaked weights do not compete."
        )
    if not found:
        return "Nothing is marked as best: fewer than two rows compete."
    most, needed = max(standing.seeds for standing in found), min(seeds_needed(standing.tests) for standing in found)
    if most < needed:
        return (
            f"Nothing is marked as best: {most} common seeds are too few to test it, {needed} are the least ({test})."
        )
    return f"Nothing is marked as best: no difference to the next row is significant ({test})."
