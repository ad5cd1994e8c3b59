"""Figures from rows: what a table cannot show. Fractions are drawn as percent."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clbench.arrays import FloatArray
from clbench.metrics.forgetting import forgetting_per_task
from clbench.report.attention import FILE, looked
from clbench.report.classes import by_name, class_counts, class_names, stored
from clbench.report.names import in_words
from clbench.report.rows import Row
from clbench.report.style import COLOURS, INK, PALETTE, line_style, settle, styled, svg

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = FloatArray
Draw = Callable[[Sequence[Row]], "Figure | None"]

WIDTH, HEIGHT = 7.2, 3.6
"""Inches."""
ANNOTATED = 10
"""Tasks up to which a heat map's cells carry their number."""
LINE = 100
"""Letters across a figure, about."""
MOST = 16
"""Rows in one figure; nobody tells more apart."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its file name and what a reader must know to read it."""

    name: str
    caption: str
    figure: "Figure"

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG document."""
        return svg(self.figure)


def draw(rows: Sequence[Row]) -> list[Drawing]:
    """Every figure that the rows of one table (see `clbench.report.tables.by_data`) have numbers for.

    Of more than MOST rows those with the highest mAP are drawn, and the captions say so.
    """
    done = [row for row in rows if row.done]
    best = sorted(range(len(done)), key=lambda place: _descending(done[place].metric("mAP")["mean"]))
    shown = [done[place] for place in sorted(best[:MOST])]
    left_out = f" The {MOST} rows with the highest mAP, of {len(done)}." if len(done) > MOST else ""
    drawings = []
    with styled():
        for name, (function, caption) in FIGURES.items():
            figure = function(shown)
            if figure is not None:
                settle(figure)
                more = (DRAWN if shown[0].drawn else SAME).get(name, "")
                drawings.append(Drawing(name, caption + more + left_out, figure))
    return drawings


def map_over_tasks(rows: Sequence[Row]) -> "Figure | None":
    """Overall mAP after each task, a band of one standard deviation over seeds; a bound is a level line."""
    chosen = [row for row in rows if row.done]
    if not chosen:
        return None
    figure, axes = _single()
    most = max(len(run.metrics["overall"]) for row in chosen for run in row.done)
    for number, row in _numbered(rows, chosen):
        mean, sd = _mean_sd([[after["mAP"] for after in run.metrics["overall"]] for run in row.done])
        style = line_style(number)
        if row.is_bound:
            mean, sd = np.repeat(mean, most), np.repeat(sd, most)
            style |= {"marker": "", "linestyle": (0, (2, 2))}
        tasks = np.arange(1, len(mean) + 1)
        axes.plot(tasks, 100 * mean, label=_called(rows, row), **style)
        axes.fill_between(tasks, 100 * (mean - sd), 100 * (mean + sd), color=style["color"], alpha=0.18, linewidth=0)
    axes.set(xlabel="tasks learned", ylabel="mAP, %", xticks=range(1, most + 1))
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    _legend(figure, axes)
    return figure


def matrices(rows: Sequence[Row], metric: str = "mAP") -> "Figure | None":
    """The task-by-task matrix of each row as a heat map, all on one scale."""
    chosen = [row for row in rows if row.done and not row.is_bound and len(row.matrix(metric)) > 1]
    if not chosen:
        return None
    from matplotlib.colors import Normalize

    columns = min(3, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    figure = _figure(WIDTH, 0.5 + 2.5 * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    scale = Normalize(0, 100)
    for axes, row in zip(grid.flat, chosen, strict=False):
        values = 100 * row.matrix(metric)
        cells = _heat_map(axes, values, scale)
        axes.set_title(_called(rows, row))
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


def forgetting(rows: Sequence[Row]) -> "Figure | None":
    """Forgetting of mAP of each task before the last one, mean and standard deviation over seeds."""
    series = []
    for row in _continual(rows):
        found = [forgetting_per_task(np.array(run.metrics["matrix"]["mAP"], np.float64)) for run in row.done]
        if len(found[0]):
            series.append((row, *_mean_sd(found)))
    if not series:
        return None
    tasks = len(series[0][1])
    return _bars(rows, series, [f"task {t}" for t in range(tasks)], "forgetting of mAP, points")


def by_group(rows: Sequence[Row]) -> "Figure | None":
    """Final mAP of each frequency group, mean and standard deviation over seeds; only where there are groups."""
    chosen = [row for row in rows if row.done and row.group_names]
    if not chosen:
        return None
    groups = chosen[0].group_names
    series = []
    for row in chosen:
        found = np.array([row.values("mAP", group) for group in groups]).T
        series.append((row, *_mean_sd(found)))
    return _bars(rows, series, groups, "mAP, %")


def against_cost(rows: Sequence[Row]) -> "Figure | None":
    """Final mAP against seconds of training and against bytes of stored images, a point for each row."""
    chosen = [row for row in rows if row.done and row.metric("mAP")["mean"] is not None]
    if not chosen:
        return None
    figure = _figure(WIDTH, HEIGHT)
    panels = figure.subplots(1, 2, sharey=True)
    costs = (("train_seconds", 1.0, "training, s"), ("memory_bytes", 1e-6, "memory, MB"))
    for axes, (name, scale, label) in zip(panels, costs, strict=True):
        for number, row in _numbered(rows, chosen):
            y, x = row.metric("mAP"), row.cost(name)
            errors = {"xerr": scale * (x["sd"] or 0.0), "yerr": 100 * (y["sd"] or 0.0)}
            style = line_style(number) | {"linestyle": "none"}
            axes.errorbar(
                scale * x["mean"],
                100 * y["mean"],
                label=_called(rows, row),
                **style,
                **errors,
                markersize=7,
                elinewidth=1,
            )
        axes.set_xlabel(label)
        axes.set_xlim(left=-0.04 * axes.get_xlim()[1])
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("mAP, %")
    _legend(figure, panels[0])
    return figure


def per_class(rows: Sequence[Row]) -> "Figure | None":
    """Final average precision of each class, mean over seeds, from the most frequent class to the rarest."""
    chosen = [row for row in rows if row.done]
    if not chosen:
        return None
    names = class_names(chosen[0].first)
    counts, what = class_counts(chosen[0], names)
    order = sorted(range(len(counts)), key=lambda c: (-counts[c], c))
    figure, axes = _single(wide=len(names) > 30)
    for number, row in _numbered(rows, chosen):
        mean, _ = _mean_sd([by_name(run, run.metrics["ap"][-1], names) for run in row.done])
        style = line_style(number) | {"linestyle": "none", "alpha": 0.9}
        axes.plot(range(len(order)), 100 * mean[order], label=_called(rows, row), **style)
    axes.set_xticks(range(len(order)), [f"{names[c]} ({counts[c]})" for c in order], rotation=90)
    axes.tick_params(axis="x", labelsize=8 if len(names) <= 30 else 5)
    axes.set(ylabel="AP, %", ylim=(0, 102), xlabel=f"class ({what})", xlim=(-0.7, len(order) - 0.3))
    _legend(figure, axes)
    return figure


def memory(rows: Sequence[Row]) -> "Figure | None":
    """How many samples of each class the memory holds after each task: a heat map for each row that has a memory."""
    continual = _continual(rows)
    names = class_names(continual[0].first) if continual else []
    chosen = [(row, np.mean(found, axis=0)) for row in continual if (found := stored(row, names))]
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
    figure = _figure(WIDTH * (1.5 if wide else 1.0), 1.2 + len(chosen) * (0.5 + 0.2 * len(tasks)))
    panels = figure.subplots(len(chosen), 1, squeeze=False, sharex=True)[:, 0]
    scale = PowerNorm(0.5, 0, max(1.0, *(float(mean.max()) for _, mean in chosen)))  # rare classes are the point
    for axes, (row, mean) in zip(panels, chosen, strict=True):
        shown = np.ma.masked_equal(mean[:, order], 0)
        cells = axes.imshow(shown, cmap=COLOURS, norm=scale, interpolation="none", aspect="auto")
        axes.set_title(_called(rows, row))
        axes.set_yticks(range(len(mean)))
        axes.grid(False)
        axes.set_ylabel("after task")
        for end in np.cumsum([len(members) for members in columns])[:-1]:
            axes.axvline(end - 0.5, color=INK, linewidth=0.8)
    panels[-1].set_xticks(range(len(order)), [f"{names[c]} ({counts[c]})" for c in order], rotation=90)
    panels[-1].tick_params(axis="x", labelsize=5 if wide else 8)
    bar = figure.colorbar(cells, ax=panels.tolist(), label="stored samples", shrink=0.9)
    bar.outline.set_visible(False)
    return figure


ATTENDING = 3
"""Rows whose attention is drawn."""


def attention(rows: Sequence[Row]) -> "Figure | None":
    """Where label queries look: test images, brighter where the label's attention is, of each row's first seed."""
    chosen = [row for row in rows if row.done and (row.done[0].folder / FILE).exists()][:ATTENDING]
    if not chosen:
        return None
    recorded = [looked(row.done[0]) for row in chosen]
    columns = max(len(each["classes"]) for each in recorded)
    figure = _figure(WIDTH, 0.2 + 1.65 * len(chosen))
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
        line[0].text(-0.08, 0.5, _called(rows, row), rotation=90, va="center", ha="right", transform=line[0].transAxes)
    return figure


FIGURES: dict[str, tuple[Draw, str]] = {
    "map": (map_over_tasks, "Overall mAP after each task; the band is one standard deviation over seeds."),
    "matrix": (matrices, "mAP on each task's own test images (columns) after each task (rows), mean over seeds."),
    "forgetting": (
        forgetting,
        "Forgetting: a task's best mAP before the last task minus its mAP after it; negative where it has improved.",
    ),
    "groups": (by_group, "Final mAP of each frequency group; lines are one standard deviation over seeds."),
    "cost": (
        against_cost,
        "Final mAP against seconds of training and megabytes of stored images; lines are one standard deviation.",
    ),
    "memory": (
        memory,
        "Memory: how many stored samples have each class (columns) after each task (rows), mean over seeds; blank "
        "where none has.",
    ),
    "classes": (
        per_class,
        "Final average precision of each class, mean over seeds, from frequent classes to rare ones. Classes are "
        "sorted by the images that the axis names.",
    ),
    "attention": (
        attention,
        "Where the query of a label looks in a test image that shows it, mean over attention heads, after the last "
        "task; first seed.",
    ),
}
"""Name -> function and caption, in the order of a report."""

SAME = {"memory": " Lines part the tasks; within one, classes go from frequent to rare ones."}
"""What a caption says besides where all seeds have the same tasks."""

OWN = " Tasks differ between seeds: task t is the t-th of each."
DRAWN = {
    "map": OWN,
    "matrix": OWN,
    "forgetting": OWN,
    "groups": " Which classes are in a group may differ between seeds.",
    "memory": f"{OWN} Classes go from frequent to rare ones.",
}
"""What it says where each seed has drawn its own."""


def _continual(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.done and not row.is_bound]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _single(*, wide: bool = False) -> "tuple[Figure, Axes]":
    figure = _figure(WIDTH * (1.5 if wide else 1.0), HEIGHT)
    return figure, figure.subplots()


def _mean_sd(values: Sequence[Sequence[float | None]] | Array | Sequence[Array]) -> tuple[Array, Array]:
    """Over the first axis, ddof 1; NaN where any seed has no value. The spread of one seed is 0: nothing is drawn."""
    data = np.array(values, np.float64)
    sd = data.std(axis=0, ddof=1) if len(data) > 1 else np.zeros(data.shape[1:])
    return data.mean(axis=0), sd


def _numbered(rows: Sequence[Row], chosen: Sequence[Row]) -> list[tuple[int, Row]]:
    """The chosen rows with their numbers among all, so that a row has one colour in every figure."""
    return [(rows.index(row), row) for row in chosen]


def _bars(
    rows: Sequence[Row], series: Sequence[tuple[Row, Array, Array]], names: Sequence[str], label: str
) -> "Figure":
    """Groups of bars: one group for each name, one bar for each row."""
    figure, axes = _single()
    width = 0.8 / len(series)
    for number, (row, mean, sd) in enumerate(series):
        places = np.arange(len(names)) - 0.4 + width * (number + 0.5)
        colour = line_style(rows.index(row))["color"]
        hatch = ("", "////")[rows.index(row) // len(PALETTE) % 2]
        drawn: dict[str, Any] = {"label": _called(rows, row), "color": colour, "hatch": hatch, "edgecolor": "none"}
        axes.bar(places, 100 * mean, width * 0.92, **drawn)
        axes.errorbar(places, 100 * mean, 100 * sd, linestyle="none", color=INK, elinewidth=1)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(names)), list(names))
    axes.set_ylabel(label)
    _legend(figure, axes)
    return figure


def _heat_map(axes: "Axes", values: Array, scale: Any) -> Any:
    """Cells with their numbers, dark on light and light on dark."""
    cells = axes.imshow(np.ma.masked_invalid(values), cmap=COLOURS, norm=scale, interpolation="none")
    axes.grid(False)
    axes.set_xticks(range(values.shape[1]))
    axes.set_yticks(range(values.shape[0]))
    if values.shape[1] <= ANNOTATED:
        for (k, t), value in np.ndenumerate(values):
            if math.isfinite(value):
                colour = "black" if value > 50 else "white"
                axes.text(t, k, f"{value:.0f}", ha="center", va="center", color=colour)
    return cells


def _descending(mean: float | None) -> float:
    """A key that puts what is not defined last."""
    return math.inf if mean is None else -mean


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    widest = max(map(len, labels)) + 6  # with its mark
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), LINE // widest)))


def _called(rows: Sequence[Row], row: Row) -> str:
    """What a table of these rows calls one of them, with room for the others."""
    name = in_words(rows)[rows.index(row)]
    return name if len(name) <= 40 else f"{name[:39]}…"
