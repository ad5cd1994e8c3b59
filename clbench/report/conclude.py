"""What can be concluded from a table, in one sentence: which rows differ by a metric, and which cannot be told apart.

All pairs of the rows that compete (no bound, no leaked weights) are tested together: paired permutation tests over
common seeds, Holm's correction over all pairs. A claim is one of these tests' outcome; nothing is taken over from one
pair to another, for rows that cannot be told apart from a third may well differ from each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clbench.report.intervals import ALPHA
from clbench.report.order import best_first, better
from clbench.report.paired import common_seeds, paired_tests, seeds_needed
from clbench.report.ranks import contenders
from clbench.report.rows import Row

NAMED = 5
"""Names in one list; the others are counted."""


@dataclass(frozen=True)
class Outcome:
    """Every pair of the rows that compete by a metric.

    places: of these rows in the table, best mean first. wins: (winner, loser), places, for each pair that differs.
    seeds: the fewest and the most that a pair has in common.
    """

    places: tuple[int, ...]
    wins: frozenset[tuple[int, int]]
    seeds: tuple[int, int]

    @property
    def pairs(self) -> int:
        return len(self.places) * (len(self.places) - 1) // 2

    @property
    def enough(self) -> bool:
        """Whether there are seeds enough for any pair to differ after the correction."""
        return self.seeds[1] >= seeds_needed(self.pairs)


def outcome(rows: Sequence[Row], metric: str) -> Outcome | None:
    """All pairs by a metric, a column's name; None where fewer than two rows compete that have it for every seed."""
    name, _, group = metric.partition(":")
    competing = {id(row) for row in contenders(rows)}
    series = {p: row.by_seed(name, group or None) for p, row in enumerate(rows) if id(row) in competing}
    series = {p: values for p, values in series.items() if np.isfinite(list(values.values())).all()}
    if len(series) < 2:
        return None
    sign = better(metric) or 1
    means = [float(np.mean(list(values.values()))) for values in series.values()]
    places = tuple(list(series)[i] for i in best_first(means, sign, [0] * len(means)))
    counts = [len(common_seeds(a, b)) for a, b in combinations(series.values(), 2)]
    found = Outcome(places, frozenset(), (min(counts), max(counts)))
    return Outcome(places, _wins(series, sign), found.seeds) if found.enough else found


def sentence(rows: Sequence[Row], names: Sequence[str], metric: str) -> str:
    """What stands above a table. names: what each row is called in it."""
    found = outcome(rows, metric)
    if found is None:
        return f"By {metric} there is nothing to conclude: fewer than two rows compete."
    if not found.enough:
        n = found.seeds[1]
        many = "1 seed is" if n == 1 else f"{n} seeds are"
        pairs = "a pair takes" if found.pairs == 1 else f"{found.pairs} pairs take"
        return f"By {metric} n = {many} too few to conclude anything: {pairs} at least {seeds_needed(found.pairs)}."
    verb = ("beats", "beat") if better(metric) else ("is above", "are above")
    tests = "paired test" if found.pairs == 1 else f"paired tests, Holm's correction over {found.pairs} pairs"
    seeds = " to ".join(str(n) for n in dict.fromkeys(found.seeds))
    called = dict(enumerate(names))
    return f"By {metric} {claims(found, called, verb)} (n = {seeds}; {tests}, {100 * ALPHA:.0f} %)."


def claims(found: Outcome, names: Mapping[int, str], verb: tuple[str, str] = ("beats", "beat")) -> str:
    """Clause by clause from the top: rows that cannot be told apart and differ from all below, then those below.

    Where the rows that cannot be told from the best do not all agree, the best alone is spoken of, and the other pairs
    are counted. verb: for one row, and for several.
    """
    left, clauses = list(found.places), []
    while len(left) > 1:
        top = [left[0], *(place for place in left[1:] if not _differ(found, left[0], place))]
        below = [place for place in left if place not in top]
        apart = any(_differ(found, a, b) for a, b in combinations(top, 2))
        if apart or not all((a, b) in found.wins for a in top for b in below):
            clauses += _of_the_best(found, left, names, verb)
            break
        known = len(below) > 2 and len(left) < len(found.places)
        clauses += _of_the_top([names[p] for p in top], [names[p] for p in below], known, verb)
        left = below
    return "; ".join(clauses)


def _of_the_top(top: Sequence[str], below: Sequence[str], known: bool, verb: tuple[str, str]) -> list[str]:
    """Rows that cannot be told apart, each better than all below. known: those below have been named before."""
    clauses = [f"{_listed(top)} cannot be told apart"] if len(top) > 1 else []
    if below:
        subject = top[0] if len(top) == 1 else "both" if len(top) == 2 else f"all {len(top)}"
        rest = f"the other {len(below)}" if known else _listed(below)
        clauses.append(f"{subject} {verb[len(top) > 1]} {rest}")
    return clauses


def _of_the_best(found: Outcome, left: Sequence[int], names: Mapping[int, str], verb: tuple[str, str]) -> list[str]:
    """The best row against each other one, and how many pairs of the others differ."""
    best, others = left[0], left[1:]
    beaten = [names[place] for place in others if (best, place) in found.wins]
    tied = [names[place] for place in others if not _differ(found, best, place)]
    above = [names[place] for place in others if (place, best) in found.wins]  # on the seeds that both have
    parts = [f"{verb[0]} {_listed(beaten)}"] if beaten else []
    parts += [f"cannot be told from {_listed(tied, 'or')}"] if tied else []
    parts += [f"is below {_listed(above)} on common seeds"] if above else []
    pairs = list(combinations(others, 2))
    differing = [pair for pair in pairs if _differ(found, *pair)]
    if len(pairs) == 1:
        [(a, b)] = pairs
        a, b = (b, a) if (b, a) in found.wins else (a, b)
        rest = f"{names[a]} {verb[0]} {names[b]}" if differing else f"{names[a]} and {names[b]} cannot be told apart"
    else:
        count = {0: "none of", len(pairs): "all"}.get(len(differing), f"{len(differing)} of")
        rest = f"{count} the other {len(pairs)} pairs differ{'s' if len(differing) < 2 else ''}"
    return [f"{names[best]} {' but '.join(parts)}", rest]


def _wins(series: Mapping[int, Mapping[int, float]], sign: int) -> frozenset[tuple[int, int]]:
    pairs = list(combinations(series, 2))
    tests = paired_tests([(series[a], series[b]) for a, b in pairs])
    return frozenset(
        (a, b) if sign * test.difference > 0 else (b, a)
        for (a, b), test in zip(pairs, tests, strict=True)
        if test.significant
    )


def _differ(found: Outcome, a: int, b: int) -> bool:
    return (a, b) in found.wins or (b, a) in found.wins


def _listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; beyond NAMED the others are counted."""
    shown = list(names) if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
