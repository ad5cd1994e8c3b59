import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clbench.report.style import INK, MARKERS, PALETTE, line_style, png, settle, styled, svg


@pytest.fixture
def figure() -> Figure:
    """A settled figure of 2 x 1.5 inches."""
    with styled():
        made = Figure(figsize=(2, 1.5))
        axes = made.subplots()
        axes.plot([0, 1], [0.0, 0.5], label="er ($x$ <b>&)")
        axes.set_xlabel("tasks learned")
        made.legend(loc="outside lower center")
        settle(made)
    return made


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.1, of `#rrggbb`."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_ink_reads_on_white_and_on_black_alike() -> None:
    on_white, on_black = 1.05 / (luminance(INK) + 0.05), (luminance(INK) + 0.05) / 0.05
    assert on_white > 3 and on_black > 3  # WCAG 2.1, 1.4.11: what graphics need


def test_settings_hold_inside_alone_and_are_no_others_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "text.color", "red")
    monkeypatch.setitem(matplotlib.rcParams, "xtick.major.size", 33.0)
    with pytest.raises(KeyError), styled():
        assert matplotlib.rcParams["text.color"] == INK
        assert matplotlib.rcParams["xtick.major.size"] == matplotlib.rcParamsDefault["xtick.major.size"] != 33.0
        raise KeyError
    assert matplotlib.rcParams["text.color"] == "red" and matplotlib.rcParams["xtick.major.size"] == 33.0


def test_lines_by_number() -> None:
    assert line_style(0) == {"color": "#0072b2", "linestyle": "-", "marker": "o"}
    assert line_style(9) == {"color": "#e69f00", "linestyle": (0, (5, 2)), "marker": "s"}
    assert line_style(32) == line_style(0)
    assert len(set(MARKERS)) == len(MARKERS) and len(set(PALETTE)) == len(PALETTE)


def test_no_two_of_the_first_lines_look_alike() -> None:
    assert len({str(line_style(number)) for number in range(4 * len(PALETTE))}) == 4 * len(PALETTE)


def test_a_settled_figure_is_not_moved_by_saving(figure: Figure) -> None:
    [axes] = figure.axes
    before = axes.get_position().bounds
    first = svg(figure), png(figure)
    assert axes.get_position().bounds == before and (svg(figure), png(figure)) == first


def test_an_svg_has_letters_as_text_and_neither_date_nor_formula(figure: Figure) -> None:
    document = svg(figure)
    words = ["".join(element.itertext()) for element in ElementTree.fromstring(document).iter() if element.text]
    assert "er ($x$ <b>&)" in words and "tasks learned" in words
    assert not re.search(r"\d{4}-\d{2}-\d{2}|Matplotlib v", document)
    assert document.endswith("</svg>\n") and not re.search(r"[ \t]+$", document, re.MULTILINE)


def test_a_png_has_160_dots_an_inch_a_transparent_ground_and_no_version(figure: Figure) -> None:
    with Image.open(io.BytesIO(png(figure))) as picture:
        assert picture.size == (320, 240) and "Software" not in picture.info
        alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
    assert alpha[0].max() == 0 and alpha.max() == 255


def test_a_users_settings_change_no_byte_of_a_saved_figure(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    before = svg(figure), png(figure)
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "path")
    monkeypatch.setitem(matplotlib.rcParams, "savefig.facecolor", "red")
    assert (svg(figure), png(figure)) == before
