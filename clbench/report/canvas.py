"""What every figure is begun with, and what their curves and bars have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clbench.arrays import FloatArray
from clbench.report.names import in_words
from clbench.report.rows import Row

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = FloatArray
WIDTH, HEIGHT = 7.2, 3.6
"""Inches."""
LINE = 100
"""Letters across a figure, about."""


def blank(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def single(*, wide: bool = False) -> "tuple[Figure, Axes]":
    figure = blank(WIDTH * (1.5 if wide else 1.0), HEIGHT)
    return figure, figure.subplots()


def continual(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.done and not row.is_bound]


def mean_sd(values: Sequence[Sequence[float | None]] | Array | Sequence[Array]) -> tuple[Array, Array]:
    """Over the first axis, ddof 1; NaN where any seed has no value. The spread of one seed is 0: nothing is drawn."""
    data = np.array(values, np.float64)
    sd = data.std(axis=0, ddof=1) if len(data) > 1 else np.zeros(data.shape[1:])
    return data.mean(axis=0), sd


def numbered(rows: Sequence[Row], chosen: Sequence[Row]) -> list[tuple[int, Row]]:
    """The chosen rows with their numbers among all, so that a row has one colour in every figure."""
    return [(rows.index(row), row) for row in chosen]


def legend(figure: "Figure", axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    widest = max(map(len, labels)) + 6  # with its mark
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), LINE // widest)))


def called(rows: Sequence[Row], row: Row) -> str:
    """What a table of these rows calls one of them, with room for the others."""
    name = in_words(rows)[rows.index(row)]
    return name if len(name) <= 40 else f"{name[:39]}…"
