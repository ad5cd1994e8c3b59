"""Is one row better than another? Paired over seeds, by an exact test, with Holm's correction over many pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from clbench.errors import UsageError, unknown
from clbench.report.cells import EMPTY, interval
from clbench.report.columns import COSTS, RANK, column_names, scale_of
from clbench.report.intervals import ALPHA, FEWEST, student_interval
from clbench.report.names import in_words
from clbench.report.paired import DRAWS, common_seeds, paired_tests, seeds_needed
from clbench.report.rows import ANGLE, Row
from clbench.report.tables import Table, by_data

PREFIX = 4
"""Digits of a configuration's hash that name a row."""


@dataclass(frozen=True)
class Comparison:
    """Two rows on the seeds that both have done; a metric's fractions.

    a, b: what a table of all the rows that are compared calls them.
    difference: mean of a - b over the seeds; sd: its sample standard deviation; ci95: Student's interval, which takes
    the differences for normal (None below `FEWEST` seeds, where neither it nor p is shown). p: sign-flip test,
    two-sided; p_holm: after Holm's correction.
    """

    a: str
    b: str
    metric: str
    seeds: tuple[int, ...]
    mean_a: float
    mean_b: float
    difference: float
    sd: float | None
    ci95: tuple[float, float] | None
    p: float
    p_holm: float
    exact: bool

    @property
    def significant(self) -> bool:
        return self.p_holm <= ALPHA

    @property
    def few(self) -> bool:
        """Whether there are too few seeds for an interval or a test."""
        return len(self.seeds) < FEWEST

    def as_json(self) -> dict[str, Any]:
        """The comparison as `clbench compare --json` prints it."""
        hidden = {"p": None, "p_holm": None} if self.few else {}
        return asdict(self) | hidden | {"significant": self.significant}


def compare_rows(pairs: Sequence[tuple[Row, Row]], metric: str) -> list[Comparison]:
    """Every pair compared, corrected for how many they are. metric: a column's name, e.g. `mAP` or `mAP:minority`.

    Raises:
        UsageError: rows on other data or another protocol, rows without a common seed, or a metric that one of them
            has not.
    """
    found = paired_tests([_values(a, b, metric) for a, b in pairs])
    rows = list({id(row): row for pair in pairs for row in pair}.values())
    called = dict(zip(map(id, rows), in_words(rows), strict=True))
    return [
        Comparison(
            a=called[id(a)],
            b=called[id(b)],
            metric=metric,
            seeds=pair.seeds,
            mean_a=float(pair.first.mean()),
            mean_b=float(pair.second.mean()),
            difference=pair.difference,
            sd=float((pair.first - pair.second).std(ddof=1)) if len(pair.seeds) > 1 else None,
            ci95=student_interval(pair.first - pair.second),
            p=pair.p,
            p_holm=pair.p_holm,
            exact=pair.exact,
        )
        for (a, b), pair in zip(pairs, found, strict=True)
    ]


def all_pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each row with each later one."""
    return list(combinations(rows, 2))


def conclusion(found: Sequence[Comparison]) -> str:
    """One sentence: what can be concluded from these pairs, which are all that were tested together."""
    [metric] = {pair.metric for pair in found}
    most, needed = max(len(pair.seeds) for pair in found), seeds_needed(len(found))
    if most < needed:
        return (
            f"Nothing can be concluded: with {most} {'seed' if most == 1 else 'seeds'} this test's p cannot be smaller "
            f"than {_smallest(most, len(found)):.3g}{_among(found)}; it takes at least {needed} seeds to reach {ALPHA}."
        )
    significant = [pair for pair in found if pair.significant]
    if not significant:
        who = f"{found[0].a} and {found[0].b}" if len(found) == 1 else f"the rows of any of these {len(found)} pairs"
        smallest = f"{p_text(min(pair.p_holm for pair in found))}{_among(found)}"
        return f"It cannot be said that {who} differ in {metric} (p {smallest})."
    verdicts = [_verdict(pair) for pair in significant]
    rest = len(found) - len(significant)
    return "; ".join(verdicts) + (f"; the other {rest} pair(s) cannot be told apart." if rest else ".")


def as_table(found: Sequence[Comparison], heading: str, notes: Sequence[str] = ()) -> Table:
    """One line for each pair; the conclusion first below it."""
    metric = found[0].metric
    scale, digits = scale_of(metric)
    unit = "degrees" if metric == ANGLE else "points"
    cells = []
    for pair in found:
        spread = "" if pair.sd is None else f"±{scale * pair.sd:.{digits}f}"
        ends = EMPTY if pair.ci95 is None else interval(pair.ci95, scale, digits)
        difference = f"{scale * pair.difference:+.{digits}f}{spread}"
        p_values = [EMPTY if pair.few else p_text(p).removeprefix("= ") for p in (pair.p, pair.p_holm)]
        cells.append((f"{pair.a} - {pair.b}", str(len(pair.seeds)), difference, ends, *p_values))
    exact = "every pattern of signs" if all(pair.exact for pair in found) else f"{DRAWS:,} random patterns of signs"
    method = (
        "difference: mean±sd over the seeds that both rows have done. 95 %: Student's interval (normal differences). "
        f"p: paired permutation test, {exact}; p Holm: corrected for {len(found)} pair(s)."
    )
    if few := sum(pair.few for pair in found):
        method += f" {few} pair(s) have fewer than {FEWEST} seeds in common: neither an interval nor a test is shown."
    headings = ("rows", "n", "difference", "95 %", "p", "p Holm")
    return Table(f"{heading}: {metric}, {unit}", headings, tuple(cells), (conclusion(found), method, *notes))


def comparable(a: Row, b: Row) -> None:
    """Raises UsageError, naming the axis, where two rows are not on the same scenario, protocol and data."""
    axes = differing_axes(a, b)
    if axes:
        said = "; ".join(f"{axis}: {first} against {second}" for axis, (first, second) in axes.items())
        raise UsageError(
            f"Expected two rows on the same data and protocol but {a.label} and {b.label} differ in {said}; compare "
            "runs of one scenario."
        )


def differing_axes(a: Row, b: Row) -> dict[str, tuple[Any, Any]]:
    """Axis -> both values, of scenario, protocol, view and data."""

    def axes(row: Row) -> Mapping[str, Any]:
        run = row.first
        data = {"view": run.config["view"], "data manifest": row.data[:12]}
        return {"scenario": run.scenario, **run.config["protocol"], **data}

    first, second = axes(a), axes(b)
    return {
        axis: (first.get(axis), second.get(axis))
        for axis in dict.fromkeys([*first, *second])
        if first.get(axis) != second.get(axis)
    }


def metric_columns(rows: Sequence[Row]) -> list[str]:
    """The columns that can be compared: metrics, one number for each seed."""
    return [name for name in column_names(rows) if name not in COSTS and not name.startswith(RANK)]


def find_rows(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The row that each name stands for; see `find_row`.

    Raises:
        UsageError: as `find_row`, or two names stand for one row.
    """
    found = [find_row(rows, name) for name in names]
    for place, row in enumerate(found):
        first = found.index(row)
        if first < place:
            raise UsageError(
                f"Expected different rows to compare but {names[first]!r} and {names[place]!r} are both {row.label} "
                f"({row.first.config_hash}); name another, or leave all names out."
            )
    return found


def find_row(rows: Sequence[Row], name: str) -> Row:
    """The row that a name stands for: its label, what tables call it (`dlfl/prs`), its strategy, or a hash's start.

    What comes first in this order goes before the others.

    Raises:
        UsageError: none has the name, or several have.
    """
    called = _called(rows)
    by_label = [row for row in rows if row.label == name]
    by_table = [row for row in rows if name in called[id(row)]]
    found = by_label or by_table or [row for row in rows if row.first.strategy == name or _has_hash(row, name)]
    if not found:
        known = {row.label for row in rows} | {names[0] for names in called.values()}
        raise UsageError(unknown("row", name, known, "The start of a config hash will do too."))
    if len(found) > 1:
        listing = ", ".join(f"{row.first.config_hash} ({row.first.scenario}, {row.label})" for row in found)
        raise UsageError(
            f"Expected one row named {name!r} but {len(found)} are: {listing}; give the start of a hash, or --scenario."
        )
    return found[0]


def _called(rows: Sequence[Row]) -> dict[int, list[str]]:
    """What each row may be called: as in the text around its own table, then with its memory, its head, or both."""
    found = {}
    for members in by_data(rows):
        for row, name in zip(members, in_words(members), strict=True):
            memory = row.memory or "none"
            parts = ([memory], [row.head], [row.head, memory])
            found[id(row)] = [name, *(row.spoken(part) for part in parts)]
    return found


def _values(a: Row, b: Row, metric: str) -> tuple[dict[int, float], dict[int, float]]:
    """Both rows' values by seed, once it is clear that they can be compared."""
    comparable(a, b)
    name, _, group = metric.partition(":")
    for row in (a, b):
        if row.done and metric not in metric_columns([row]):
            raise UsageError(unknown("metric", metric, metric_columns([row])))
    first, second = a.by_seed(name, group or None), b.by_seed(name, group or None)
    seeds = common_seeds(first, second)
    if not seeds:
        raise UsageError(f"Expected {a.label} and {b.label} to have a seed in common that is done but they have none.")
    for row, values in ((a, first), (b, second)):
        if not all(math.isfinite(values[seed]) for seed in seeds):
            raise UsageError(f"Expected {metric} to be defined for {row.label} but it is not; choose another --metric.")
    return first, second


def _has_hash(row: Row, name: str) -> bool:
    return len(name) >= PREFIX and row.first.config_hash.startswith(name)


def _smallest(seeds: int, pairs: int) -> float:
    return min(1.0, pairs * 2.0 ** (1 - seeds))


def _among(found: Sequence[Comparison]) -> str:
    return f" after Holm's correction over {len(found)} pairs" if len(found) > 1 else ""


def _verdict(pair: Comparison) -> str:
    high, low = (pair.a, pair.b) if pair.difference > 0 else (pair.b, pair.a)
    scale, digits = scale_of(pair.metric)
    by = f"{scale * abs(pair.difference):.{digits}f} {'degrees' if pair.metric == ANGLE else 'points'}"
    p = f"p {p_text(pair.p_holm)}"
    return f"{high} has a higher {pair.metric} than {low}, by {by} over {len(pair.seeds)} seeds ({p})"


def p_text(value: float) -> str:
    """`= 0.031`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"= {value:.3g}"
