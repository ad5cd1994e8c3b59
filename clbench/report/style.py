"""How every figure looks, and how it becomes bytes: the same figure always gives the same ones."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # matplotlib takes half a second to import
    from matplotlib.figure import Figure

INK = "#7a7a7a"
"""Text and axes: a grey that reads on white and on black alike; the HTML report puts the page's own colour instead."""

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#8c6bb1")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which colour-blind readers tell apart; its yellow is
darkened to be seen on white, and violet stands for its black, which is not seen on black."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Beyond eight lines, the dashes tell them apart."""
MARKERS = "osD^vPX*"
COLOURS = "viridis"
"""The map of heat maps: even in lightness, and the same to colour-blind readers."""

_SETTINGS: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.alpha": 0.3,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "clbench",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
"""Labels are the users' own text, so `$` is no formula. Letters stay letters in an SVG."""


@contextmanager
def styled() -> Iterator[None]:
    """These settings and no others of the user's, for drawing and for saving."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def line_style(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number."""
    dashes = DASHES[number // len(PALETTE) % len(DASHES)]
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": dashes,
        "marker": MARKERS[number % len(MARKERS)],
    }


def settle(figure: "Figure") -> None:
    """Lay the figure out once and for all: each saving would move its parts a little."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def svg(figure: "Figure") -> str:
    """An SVG document: no date, no version, letters as text."""
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def png(figure: "Figure") -> bytes:
    """A PNG of 160 dots per inch on a transparent ground."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()
