"""A panel for each row: heat maps of its tasks and its memory, and where its label queries look."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clbench.report.attention import FILE, looked
from clbench.report.canvas import WIDTH, Array, blank, called, continual
from clbench.report.classes import class_counts, class_names, stored
from clbench.report.rows import Row
from clbench.report.style import COLOURS, INK

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 5
"""Tasks up to which four heat maps stand beside each other,"""
SHORT = 18
"""if this is the longest name, in letters."""
ANNOTATED = 10
"""Tasks up to which a heat map's cells carry their number."""


def matrices(rows: Sequence[Row], metric: str = "mAP") -> "Figure | None":
    """The task-by-task matrix of each row as a heat map, all on one scale."""
    chosen = [row for row in rows if row.done and not row.is_bound and len(row.matrix(metric)) > 1]
    if not chosen:
        return None
    from matplotlib.colors import Normalize

    narrow = chosen[0].matrix(metric).shape[1] <= FEW and max(len(called(rows, row)) for row in chosen) <= SHORT
    columns = min(4 if narrow else 3, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    figure = blank(WIDTH, 0.5 + lines * min(2.5, 0.3 + 6 / columns))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    scale = Normalize(0, 100)
    for axes, row in zip(grid.flat, chosen, strict=False):
        values = 100 * row.matrix(metric)
        cells = _heat_map(axes, values, scale)
        axes.set_title(called(rows, row))
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(chosen) - columns) : len(chosen)]:  # below them there is none
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("task")
    for axes in grid[:, 0]:
        axes.set_ylabel("after task")
    bar = figure.colorbar(cells, ax=grid, label=f"{metric}, %", shrink=0.9)
    bar.outline.set_visible(False)
    return figure


def memory(rows: Sequence[Row]) -> "Figure | None":
    """How many samples of each class the memory holds after each task: a heat map for each row that has a memory."""
    learned = continual(rows)
    names = class_names(learned[0].first) if learned else []
    chosen = [(row, np.mean(found, axis=0)) for row in learned if (found := stored(row, names))]
    if not chosen:
        return None
    from matplotlib.colors import PowerNorm

    tasks = chosen[0][0].first.env["manifest"]["tasks"]
    counts, _ = class_counts(chosen[0][0], names)
    # Tasks that each seed has drawn for itself are nobody's in the mean: then all classes are one block.
    blocks = [names] if chosen[0][0].drawn else [task["classes"] for task in tasks]
    columns = [[names.index(name) for name in block] for block in blocks]
    order = [c for members in columns for c in sorted(members, key=lambda c: (-counts[c], c))]
    wide = len(order) > 30
    figure = blank(WIDTH * (1.5 if wide else 1.0), 1.2 + len(chosen) * (0.5 + 0.2 * len(tasks)))
    panels = figure.subplots(len(chosen), 1, squeeze=False, sharex=True)[:, 0]
    scale = PowerNorm(0.5, 0, max(1.0, *(float(mean.max()) for _, mean in chosen)))  # rare classes are the point
    for axes, (row, mean) in zip(panels, chosen, strict=True):
        shown = np.ma.masked_equal(mean[:, order], 0)
        cells = axes.imshow(shown, cmap=COLOURS, norm=scale, interpolation="none", aspect="auto")
        axes.set_title(called(rows, row))
        axes.set_yticks(range(len(mean)), _counted(len(mean)))
        axes.grid(False)
        axes.set_ylabel("after task")
        for end in np.cumsum([len(members) for members in columns])[:-1]:
            axes.axvline(end - 0.5, color=INK, linewidth=0.8)
    panels[-1].set_xticks(range(len(order)), [f"{names[c]} ({counts[c]})" for c in order], rotation=90)
    panels[-1].tick_params(axis="x", labelsize=5 if wide else 8)
    bar = figure.colorbar(cells, ax=panels.tolist(), label="stored samples", shrink=0.9)
    bar.outline.set_visible(False)
    return figure


def _counted(tasks: int) -> list[str]:
    """What stands at the ticks of so many tasks."""
    return [str(number) for number in range(1, tasks + 1)]


def _heat_map(axes: "Axes", values: Array, scale: Any) -> Any:
    """Cells with their numbers, dark on light and light on dark."""
    cells = axes.imshow(np.ma.masked_invalid(values), cmap=COLOURS, norm=scale, interpolation="none")
    axes.grid(False)
    axes.set_xticks(range(values.shape[1]), _counted(values.shape[1]))
    axes.set_yticks(range(values.shape[0]), _counted(values.shape[0]))
    if values.shape[1] <= ANNOTATED:
        for (k, t), value in np.ndenumerate(values):
            if math.isfinite(value):
                colour = "black" if value > 50 else "white"
                axes.text(t, k, f"{value:.0f}", ha="center", va="center", color=colour)
    return cells


ATTENDING = 3
"""Rows whose attention is drawn."""


def attention(rows: Sequence[Row]) -> "Figure | None":
    """Where label queries look: test images, brighter where the label's attention is, of each row's first seed."""
    chosen = [row for row in rows if row.done and (row.done[0].folder / FILE).exists()][:ATTENDING]
    if not chosen:
        return None
    recorded = [looked(row.done[0]) for row in chosen]
    columns = max(len(each["classes"]) for each in recorded)
    figure = blank(WIDTH, 0.2 + 1.65 * len(chosen))
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    for line, row, each in zip(grid, chosen, recorded, strict=True):
        for axes in line:
            axes.set_axis_off()
        names = class_names(row.done[0])
        for axes, column, pixels, weights in zip(line, each["classes"], each["pixels"], each["maps"], strict=False):
            side = pixels.shape[-1]
            axes.imshow(pixels.mean(axis=0), cmap="gray", vmin=0, vmax=255, extent=(0, side, side, 0))
            shown = weights.astype(np.float32)
            axes.imshow(shown, cmap="inferno", alpha=0.55, extent=(0, side, side, 0), interpolation="bilinear")
            axes.set_title(names[int(column)], fontsize=8)
        line[0].text(-0.08, 0.5, called(rows, row), rotation=90, va="center", ha="right", transform=line[0].transAxes)
    return figure
