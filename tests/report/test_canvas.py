from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from clbench.report.canvas import apart
from clbench.report.figures import draw
from clbench.report.rows import Row, collect
from clbench.report.style import PALETTE
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


@pytest.mark.slow
def test_a_row_has_one_colour_in_every_figure(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)  # a bound has no forgetting
    make("lwf", 0, offset=-0.1)
    figures = {drawing.name: drawing.figure for drawing in draw(rows(store))}
    for name in ("map", "forgetting", "groups", "classes"):
        handles, labels = figures[name].axes[0].get_legend_handles_labels()
        handle: Any = handles[labels.index("lwf")]
        colour = handle.get_color() if hasattr(handle, "get_color") else handle.patches[0].get_facecolor()
        assert to_hex(colour) == PALETTE[1], name


@given(st.lists(st.floats(0, 100), min_size=1, max_size=16), st.floats(0.5, 6), st.floats(-5, 0), st.floats(100, 105))
def test_places_keep_order_and_distance_and_lie_within_where_there_is_room(
    ends: list[float], gap: float, low: float, high: float
) -> None:
    places = apart(ends, gap, low, high)
    order = sorted(range(len(ends)), key=lambda i: -ends[i])
    between = [places[above] - places[below] for above, below in zip(order, order[1:], strict=False)]
    assert all(distance >= gap - 1e-9 for distance in between)
    if gap * (len(ends) - 1) <= high - low:
        assert all(low - 1e-9 <= place <= high + 1e-9 for place in places)
    if all(ends[a] - ends[b] >= gap for a, b in zip(order, order[1:], strict=False)):
        assert np.allclose(places, ends)  # nothing is moved that need not be


def test_near_ends_share_what_they_must_give() -> None:
    assert apart([50, 50, 80], 10, 0, 100) == [55, 45, 80]
    assert apart([3, 1], 10, 0, 100) == [10, 0] and apart([99, 99.5], 10, 0, 100) == [90, 100]


def boxes(texts: Any, figure: Any) -> list[Any]:
    """Of the words alone: an annotation's own extent has its stroke in it."""
    figure.draw_without_rendering()
    return [Text.get_window_extent(text, figure.canvas.get_renderer()) for text in texts]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5, 11, 16])
def test_names_stand_at_the_ends_of_their_lines_without_covering_each_other(
    store: Path, make: Make, count: int
) -> None:
    for number in range(count):  # their last points are equal, or nearly so
        make("er", 0, changed={"lr": number}, epochs=number + 1, offset=-number / 100)
    figure: Any = next(drawing for drawing in draw(rows(store)) if drawing.name == "map").figure
    FigureCanvasAgg(figure)
    [axes] = figure.axes
    assert not figure.legends and len(axes.texts) == len(axes.lines) == count
    assert [text.get_text() for text in axes.texts] == [line.get_label() for line in axes.lines]
    found = boxes(axes.texts, figure)
    assert not any(one.overlaps(other) for i, one in enumerate(found) for other in found[:i])
    for text, box in zip(axes.texts, found, strict=True):
        assert text.xy[0] == 2 and box.x0 > axes.get_window_extent().x1
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


@pytest.mark.slow
def test_a_legend_is_read_from_left_to_right(store: Path, make: Make) -> None:
    for number in range(11):
        make("er", 0, changed={"lr": number}, epochs=number + 1, offset=-number / 100)
    figure: Any = next(drawing for drawing in draw(rows(store)) if drawing.name == "groups").figure
    FigureCanvasAgg(figure)
    texts = figure.legends[0].get_texts()
    places = [(-round(box.y0), box.x0) for box in boxes(texts, figure)]
    read = [text.get_text() for _, text in sorted(zip(places, texts, strict=True), key=lambda pair: pair[0])]
    assert read == [f"er (lr={number})" for number in range(11)] and len({y for y, _ in places}) > 1
