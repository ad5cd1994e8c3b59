import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report.figures import FIGURES, MOST, Drawing, draw
from clbench.report.rows import Row, collect
from clbench.report.style import png, svg
from clbench.report.tables import build_tables
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def texts(document: str) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(document).iter())


@pytest.mark.slow
def test_every_figure_is_drawn_and_readable_as_svg_and_png(three: list[Row]) -> None:
    drawings = draw(three)
    assert [drawing.name for drawing in drawings] == list(FIGURES)
    for drawing in drawings:
        shown = "dlfl" if drawing.name == "attention" else "er"
        assert shown in texts(svg(drawing.figure)) and "lwf" not in texts(svg(drawing.figure))
        assert png(drawing.figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_rows_give_the_same_bytes(three: list[Row]) -> None:
    for one, other in zip(draw(three), draw(three), strict=True):
        assert svg(one.figure) == svg(one.figure)
        assert svg(one.figure) == svg(other.figure) and png(one.figure) == png(other.figure)
        assert not re.search(r"\d{4}-\d{2}-\d{2}", svg(one.figure))


@pytest.mark.slow
def test_a_users_own_settings_change_nothing(three: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = svg(draw(three)[0].figure)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    assert svg(draw(three)[0].figure) == before
    assert matplotlib.rcParams["lines.linewidth"] == 9.0


@pytest.mark.slow
def test_of_many_rows_the_best_are_drawn_and_the_captions_say_so(store: Path, make: Make) -> None:
    for number in range(MOST + 2):
        make("er", 0, changed={"lr": number}, epochs=number + 1, offset=number / 100)
    make("lwf", 0, FAILED)
    drawings = draw(rows(store))
    labels = [line.get_label() for line in drawings[0].figure.axes[0].lines]
    assert labels == [f"er (lr={number})" for number in reversed(range(2, MOST + 2))]
    assert all(d.caption.endswith(f" The {MOST} rows with the highest mAP, of {MOST + 2}.") for d in drawings)


def test_nothing_done_draws_nothing(store: Path, make: Make) -> None:
    make("er", 0, FAILED, reason="it broke")
    assert draw(rows(store)) == []


def test_a_label_is_text_and_no_formula(store: Path, make: Make) -> None:
    make("er", 0, changed={"note": "$x$ <b>&"})
    for drawing in draw(rows(store)):
        assert "$x$ <b>&" in texts(svg(drawing.figure))


def test_neither_torch_nor_pyplot_is_imported() -> None:
    code = (
        "import sys, clbench.report.figures, clbench.report.style; assert 'matplotlib' not in sys.modules; "
        "from clbench.report.charts import map_over_tasks; map_over_tasks([]); import matplotlib.figure; "
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_captions_say_that_tasks_differ_between_seeds(drawn: dict[str, Drawing]) -> None:
    for name in ("map", "matrix", "forgetting", "memory"):
        assert "Tasks differ between seeds: task t is the t-th of each." in drawn[name].caption
    assert "may differ between seeds" in drawn["groups"].caption and "Lines part" not in drawn["memory"].caption


def test_captions_say_nothing_of_it_where_all_seeds_have_the_same_tasks(three: list[Row]) -> None:
    captions = {drawing.name: drawing.caption for drawing in draw(three)}
    assert not any("between seeds" in caption for caption in captions.values()) and "Lines part" in captions["memory"]


@pytest.mark.slow
def test_rows_stand_as_in_the_first_table_in_every_figure(store: Path, make: Make) -> None:
    stored = [[3, 1, 0, 0], [2, 1, 1, 1]]
    for strategy, offset in (("agem", -0.2), ("er", 0.3), ("ewc", 0.0), ("zero", 0.1)):
        make(strategy, 0, offset=offset, stored=stored)
    make("a_bound", 0, joint=True, offset=0.5)
    found = rows(store)
    order = [row[0] for row in build_tables(found)[0].cells]
    assert order == ["er", "zero", "ewc", "agem", "a_bound"]
    for drawing in draw(found):
        axes, legends = drawing.figure.axes, drawing.figure.legends
        if legends:
            shown = [text.get_text() for text in legends[0].get_texts()]
        elif drawing.name == "map":
            shown = [str(line.get_label()) for line in axes[0].lines]
        else:
            shown = [title for title in (each.get_title() for each in axes) if title]
        wanted = order if drawing.name in ("map", "groups", "cost", "classes") else order[:-1]
        assert shown == wanted, drawing.name
