from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex

from clbench.report.figures import draw
from clbench.report.rows import Row, collect
from clbench.report.style import PALETTE
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_a_row_has_one_colour_in_every_figure(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)  # a bound has no forgetting: what comes after it must keep its colour
    make("lwf", 0)
    figures = {drawing.name: drawing.figure for drawing in draw(rows(store))}
    for name in ("map", "forgetting", "groups", "classes"):
        handles, labels = figures[name].axes[0].get_legend_handles_labels()
        handle: Any = handles[labels.index("lwf")]
        colour = handle.get_color() if hasattr(handle, "get_color") else handle.patches[0].get_facecolor()
        assert to_hex(colour) == PALETTE[2], name
