"""Curves, bars and points of a table's rows. Fractions are drawn as percent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clbench.metrics.forgetting import forgetting_per_task
from clbench.report.canvas import (
    HEIGHT,
    WIDTH,
    Array,
    blank,
    called,
    continual,
    legend,
    mean_sd,
    names_at_ends,
    numbered,
    single,
)
from clbench.report.classes import by_name, class_counts, class_names
from clbench.report.rows import Row
from clbench.report.style import INK, PALETTE, line_style

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.figure import Figure


def map_over_tasks(rows: Sequence[Row]) -> "Figure | None":
    """Overall mAP after each task, a band of one standard deviation over seeds; a bound is a level line."""
    chosen = [row for row in rows if row.done]
    if not chosen:
        return None
    figure, axes = single()
    most = max(len(run.metrics["overall"]) for row in chosen for run in row.done)
    for number, row in numbered(rows, chosen):
        mean, sd = mean_sd([[after["mAP"] for after in run.metrics["overall"]] for run in row.done])
        style = line_style(number)
        if row.is_bound:
            mean, sd = np.repeat(mean, most), np.repeat(sd, most)
            style |= {"marker": "", "linestyle": (0, (2, 2))}
        tasks = np.arange(1, len(mean) + 1)
        axes.plot(tasks, 100 * mean, label=called(rows, row), **style)
        axes.fill_between(tasks, 100 * (mean - sd), 100 * (mean + sd), color=style["color"], alpha=0.18, linewidth=0)
    axes.set(xlabel="tasks learned", ylabel="mAP, %", xticks=range(1, most + 1))
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    names_at_ends(figure, axes)
    return figure


def forgetting(rows: Sequence[Row]) -> "Figure | None":
    """Forgetting of mAP of each task before the last one, mean and standard deviation over seeds."""
    series = []
    for row in continual(rows):
        found = [forgetting_per_task(np.array(run.metrics["matrix"]["mAP"], np.float64)) for run in row.done]
        if len(found[0]):
            series.append((row, *mean_sd(found)))
    if not series:
        return None
    tasks = len(series[0][1])
    return _bars(rows, series, [f"task {t}" for t in range(1, tasks + 1)], "forgetting of mAP, points")


def by_group(rows: Sequence[Row]) -> "Figure | None":
    """Final mAP of each frequency group, mean and standard deviation over seeds; only where there are groups."""
    chosen = [row for row in rows if row.done and row.group_names]
    if not chosen:
        return None
    groups = chosen[0].group_names
    series = []
    for row in chosen:
        found = np.array([row.values("mAP", group) for group in groups]).T
        series.append((row, *mean_sd(found)))
    return _bars(rows, series, groups, "mAP, %")


def against_cost(rows: Sequence[Row]) -> "Figure | None":
    """Final mAP against seconds of training and against bytes of stored images, a point for each row."""
    chosen = [row for row in rows if row.done and row.metric("mAP")["mean"] is not None]
    if not chosen:
        return None
    figure = blank(WIDTH, HEIGHT)
    panels = figure.subplots(1, 2, sharey=True)
    costs = (("train_seconds", 1.0, "training, s"), ("memory_bytes", 1e-6, "memory, MB"))
    for axes, (name, scale, label) in zip(panels, costs, strict=True):
        for number, row in numbered(rows, chosen):
            y, x = row.metric("mAP"), row.cost(name)
            errors = {"xerr": scale * (x["sd"] or 0.0), "yerr": 100 * (y["sd"] or 0.0)}
            style = line_style(number) | {"linestyle": "none"}
            axes.errorbar(
                scale * x["mean"],
                100 * y["mean"],
                label=called(rows, row),
                **style,
                **errors,
                markersize=7,
                elinewidth=1,
            )
        axes.set_xlabel(label)
        axes.set_xlim(left=-0.04 * axes.get_xlim()[1])
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("mAP, %")
    legend(figure, panels[0])
    return figure


def per_class(rows: Sequence[Row]) -> "Figure | None":
    """Final average precision of each class, mean over seeds, from the most frequent class to the rarest."""
    chosen = [row for row in rows if row.done]
    if not chosen:
        return None
    names = class_names(chosen[0].first)
    counts, what = class_counts(chosen[0], names)
    order = sorted(range(len(counts)), key=lambda c: (-counts[c], c))
    figure, axes = single(wide=len(names) > 30)
    for number, row in numbered(rows, chosen):
        mean, _ = mean_sd([by_name(run, run.metrics["ap"][-1], names) for run in row.done])
        style = line_style(number) | {"linestyle": "none", "alpha": 0.9}
        axes.plot(range(len(order)), 100 * mean[order], label=called(rows, row), **style)
    axes.set_xticks(range(len(order)), [f"{names[c]} ({counts[c]})" for c in order], rotation=90)
    axes.tick_params(axis="x", labelsize=8 if len(names) <= 30 else 5)
    axes.set(ylabel="AP, %", ylim=(0, 102), xlabel=f"class ({what})", xlim=(-0.7, len(order) - 0.3))
    legend(figure, axes)
    return figure


def angles(rows: Sequence[Row]) -> "Figure | None":
    """The positive angle against how many labels an image has, beside the best that one shared feature can do.

    That is arccos(1 / sqrt(M)) with M labels whose classifiers stand at right angles; see `clbench.models.angle`.
    """
    chosen = [(row, found) for row in rows if row.done and (found := _angles(row))]
    most = max((max(found) for _, found in chosen), default=0)
    if most < 2:
        return None
    figure, axes = single()
    for number, row in numbered(rows, [row for row, _ in chosen]):
        found = next(found for other, found in chosen if other is row)
        axes.plot(list(found), list(found.values()), label=called(rows, row), **line_style(number))
    labels = np.arange(1, most + 1)
    bound = np.degrees(np.arccos(labels**-0.5))
    axes.plot(labels, bound, color=INK, linestyle=(0, (4, 2)), linewidth=1.2, label="one feature for all, at best")
    axes.set(xlabel="labels of a test image", ylabel="angle of feature and classifier, °", xticks=labels)
    axes.set_ylim(bottom=0)  # up to 180: a feature may point away from its classifier
    legend(figure, axes)
    return figure


def _angles(row: Row) -> dict[int, float]:
    """Number of labels -> angle in degrees after the last task, mean over the seeds that have such images."""
    found: dict[int, list[float]] = {}
    for run in row.done:
        for labels, degrees, _ in (run.metrics.get("angle_by_positives") or [[]])[-1]:
            found.setdefault(int(labels), []).append(degrees)
    return {labels: float(np.mean(found[labels])) for labels in sorted(found)}


def _bars(
    rows: Sequence[Row], series: Sequence[tuple[Row, Array, Array]], names: Sequence[str], label: str
) -> "Figure":
    """Groups of bars: one group for each name, one bar for each row."""
    figure, axes = single()
    width = 0.8 / len(series)
    for number, (row, mean, sd) in enumerate(series):
        places = np.arange(len(names)) - 0.4 + width * (number + 0.5)
        colour = line_style(rows.index(row))["color"]
        hatch = ("", "////")[rows.index(row) // len(PALETTE) % 2]
        drawn: dict[str, Any] = {"label": called(rows, row), "color": colour, "hatch": hatch, "edgecolor": "none"}
        axes.bar(places, 100 * mean, width * 0.92, **drawn)
        axes.errorbar(places, 100 * mean, 100 * sd, linestyle="none", color=INK, elinewidth=1)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(names)), list(names))
    axes.set_ylabel(label)
    legend(figure, axes)
    return figure
