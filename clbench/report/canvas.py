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
LETTER = 10.5
"""Points from a name at a line's end to the next one's."""
MARGIN = 0.65
"""Inches of a single figure's height that are not its axes."""


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
    """Names below the figure, read from left to right in the order of the rows."""
    handles, labels = axes.get_legend_handles_labels()
    widest = max(map(len, labels)) + 6  # with its mark
    columns = max(1, min(len(labels), LINE // widest))
    across = [place for first in range(columns) for place in range(first, len(labels), columns)]  # it fills downwards
    figure.legend([handles[i] for i in across], [labels[i] for i in across], loc="outside lower center", ncols=columns)


def names_at_ends(figure: "Figure", axes: "Axes") -> None:
    """The name of each labelled line at its end, moved apart where ends are near, with a stroke of its colour to it.

    Names lie within the limits of the y axis, which are the last ones from here on.
    """
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in lines]
    low, high = axes.get_ylim()
    gap = (high - low) * LETTER / (72 * (figure.get_size_inches()[1] - MARGIN))
    last = float(np.asarray(lines[0].get_xdata())[-1])
    for line, end, place in zip(lines, ends, apart(ends, gap, low, high), strict=True):
        stroke = {"arrowstyle": "-", "color": line.get_color(), "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4}
        axes.annotate(
            str(line.get_label()),
            (last, end),
            (1.04, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            arrowprops=stroke,
            annotation_clip=False,
        )
    axes.set_ylim(low, high)


def apart(ends: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` from each other, in the order of the ends and as near to them as that lets them be.

    They lie from low to high where that is wide enough. Of equal ends the first is the highest.
    """
    order = sorted(range(len(ends)), key=lambda i: -ends[i])
    blocks: list[tuple[float, int]] = []  # isotonic regression: how much each run of neighbours is moved, and its size
    for number, i in enumerate(order):
        mean, size = ends[i] + number * gap, 1
        while blocks and blocks[-1][0] < mean:
            above, more = blocks.pop()
            mean, size = (above * more + mean * size) / (more + size), more + size
        blocks.append((mean, size))
    placed = [mean for mean, size in blocks for _ in range(size)]
    # Moved by number * gap, neighbours may be equal; so may the limits.
    least, most = low + (len(ends) - 1) * gap, high
    return [
        max(least, min(most, placed[number])) - number * gap
        for number, _ in sorted(enumerate(order), key=lambda pair: pair[1])
    ]


def called(rows: Sequence[Row], row: Row) -> str:
    """What a table of these rows calls one of them, with room for the others."""
    name = in_words(rows)[rows.index(row)]
    return name if len(name) <= 40 else f"{name[:39]}…"
