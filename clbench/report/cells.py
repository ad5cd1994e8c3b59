"""How a cell is written, and what number it stands for."""

import math
from collections.abc import Sequence

from clbench.report.columns import COMPACT, COSTS, INTERVAL, RANK, scale_of
from clbench.report.ranks import mean_ranks
from clbench.report.rows import Row

EMPTY = "–"
"""A cell whose value is not defined."""


def column_cells(rows: Sequence[Row], column: str) -> list[str]:
    """One cell for each row."""
    if column.startswith(RANK):
        means = mean_ranks(rows, column.partition(":")[2] or None).means
        return [EMPTY if mean is None else f"{mean:.1f}" for mean in means]
    return [cell(row, column) for row in rows]


def cell(row: Row, column: str) -> str:
    if not row.done:
        return next(iter(row.states)) if len(row.states) == 1 else "not done"
    name, _, group = column.removesuffix(INTERVAL).partition(":")
    value = row.cost(name) if name in COSTS else row.metric(name, group or None)
    scale, digits = scale_of(name)
    if column.endswith(INTERVAL):
        return EMPTY if value["ci95"] is None else interval(value["ci95"], scale, digits)
    if value["mean"] is None:
        return EMPTY
    if name in COMPACT:
        return compact(value["mean"]) + (f"±{compact(value['sd'])}" if value["sd"] else "")
    spread = "" if value["sd"] is None else f"±{scale * value['sd']:.{digits}f}"
    return f"{_decimal(scale * value['mean'], digits)}{spread}"


def means(rows: Sequence[Row], column: str) -> list[float | None]:
    """What each row is ordered by; None where it has no number."""
    name, _, group = column.partition(":")
    if name == RANK:
        return list(mean_ranks(rows, group or None).means)
    return [
        (row.cost(name) if name in COSTS else row.metric(name, group or None))["mean"] if row.done else None
        for row in rows
    ]


def percent(value: float) -> str:
    """A fraction as percent; a dash where it is not defined."""
    return EMPTY if math.isnan(value) else _decimal(100 * value, 1)


def compact(number: float) -> str:
    """A count in three digits: 999, 1.00k, 33.4M."""
    if number < 999.5:
        return f"{number:.0f}"
    digits, exponent = f"{number:.2e}".split("e")
    thousands, place = divmod(int(exponent), 3)
    return f"{float(digits) * 10**place:.{2 - place}f}{' kMGT'[thousands]}"


def interval(ends: Sequence[float], scale: float, digits: int) -> str:
    """`[1.2, 3.4]`."""
    return f"[{', '.join(_decimal(scale * end, digits) for end in ends)}]"


def _decimal(number: float, digits: int) -> str:
    """With so many decimals, and no minus before zeros alone."""
    return f"{number:z.{digits}f}"
