"""Figures from rows: what a table cannot show, each with its caption."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from clbench.report.charts import against_cost, angles, by_group, forgetting, map_over_tasks, per_class
from clbench.report.columns import main_columns
from clbench.report.heatmaps import attention, matrices, memory
from clbench.report.rows import Row
from clbench.report.style import settle, styled, svg
from clbench.report.tables import ordered

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.figure import Figure

Draw = Callable[[Sequence[Row]], "Figure | None"]
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

    Rows stand as in the first table, the best by mAP first. Of more than MOST those with the highest mAP are drawn, and
    the captions say so.
    """
    done = [row for row in ordered(rows, main_columns(rows[0])) if row.done]
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
    "angles": (
        angles,
        "Angle between the feature that a label is scored by and the label's classifier, after the last task, mean "
        "over seeds, against the labels of the image. Broken: arccos(1/√M), the best that one feature for all M labels "
        "can do where their classifiers stand at right angles.",
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


def _descending(mean: float | None) -> float:
    """A key that puts what is not defined last."""
    return math.inf if mean is None else -mean
