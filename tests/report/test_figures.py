import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from clbench.report.figures import FIGURES, MOST, Drawing, draw
from clbench.report.rows import Row, collect
from clbench.report.style import PALETTE, png, svg
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


@pytest.fixture
def three(store: Path, make: Make) -> list[Row]:
    for seed in range(3):
        make("er", seed, stored=[[3, 1, 0, 0], [2, 1, 0, seed]])
        make("dlfl", seed, offset=0.1)
    make("joint", 0, joint=True)
    make("lwf", 0, FAILED, reason="it broke")
    return rows(store)


def texts(document: str) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(document).iter())


def test_every_figure_is_drawn_and_readable_as_svg_and_png(three: list[Row]) -> None:
    drawings = draw(three)
    assert [drawing.name for drawing in drawings] == list(FIGURES)
    for drawing in drawings:
        shown = "dlfl" if drawing.name == "attention" else "er"
        assert shown in texts(svg(drawing.figure)) and "lwf" not in texts(svg(drawing.figure))
        assert png(drawing.figure).startswith(b"\x89PNG")


def test_the_same_rows_give_the_same_bytes(three: list[Row]) -> None:
    for one, other in zip(draw(three), draw(three), strict=True):
        assert svg(one.figure) == svg(one.figure)
        assert svg(one.figure) == svg(other.figure) and png(one.figure) == png(other.figure)
        assert not re.search(r"\d{4}-\d{2}-\d{2}", svg(one.figure))


def test_a_users_own_settings_change_nothing(three: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = svg(draw(three)[0].figure)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    assert svg(draw(three)[0].figure) == before
    assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_the_line_is_the_mean_and_the_band_one_sd(three: list[Row]) -> None:
    er = next(row for row in three if row.first.strategy == "er")
    curves = np.array([[after["mAP"] for after in run.metrics["overall"]] for run in er.done])
    axes = draw(three)[0].figure.axes[0]
    number = [line.get_label() for line in axes.lines].index("er")
    assert np.allclose(axes.lines[number].get_ydata(), 100 * curves.mean(0))
    band = axes.collections[number].get_paths()[0].vertices[:, 1]  # type: ignore[index]
    assert np.isclose(np.max(band), np.max(100 * (curves.mean(0) + curves.std(0, ddof=1))))


def test_a_bound_is_a_level_line_and_has_no_forgetting(three: list[Row]) -> None:
    by_name = {drawing.name: drawing for drawing in draw(three)}
    lines = {line.get_label(): line.get_ydata() for line in by_name["map"].figure.axes[0].lines}
    assert len(np.asarray(lines["joint"])) == 2 and len(set(np.asarray(lines["joint"]).tolist())) == 1
    assert "joint" not in texts(svg(by_name["forgetting"].figure)) + texts(svg(by_name["matrix"].figure))


def test_attention_stands_over_its_image_with_its_label(three: list[Row]) -> None:
    figure = {drawing.name: drawing.figure for drawing in draw(three)}["attention"]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c"]
    recorded = next(row for row in three if row.first.strategy == "dlfl").done[0].arrays("attention")
    picture, over = figure.axes[1].images
    assert np.allclose(picture.get_array(), recorded["pixels"][1].mean(axis=0))  # type: ignore[arg-type]
    assert np.allclose(over.get_array(), recorded["maps"][1])  # type: ignore[arg-type]


def test_classes_go_from_frequent_in_training_to_rare(three: list[Row]) -> None:
    axes = next(drawing for drawing in draw(three) if drawing.name == "classes").figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (9)", "a (5)", "d (4)", "c (2)"]
    assert "training images" in axes.get_xlabel()
    er = next(row for row in three if row.first.strategy == "er")
    [drawn] = [line.get_ydata() for line in axes.lines if line.get_label() == "er"]
    mean = np.mean([run.metrics["ap"][-1] for run in er.done], axis=0)
    assert np.allclose(drawn, 100 * mean[[1, 0, 3, 2]])


def test_the_memorys_classes_stand_in_the_order_of_tasks_and_of_frequency(three: list[Row]) -> None:
    figure = next(drawing for drawing in draw(three) if drawing.name == "memory").figure
    axes, bar = figure.axes  # er alone has a memory
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (9)", "a (5)", "d (4)", "c (2)"]
    values: Any = axes.images[0].get_array()
    assert values.tolist() == [[1, 3, None, None], [1, 2, 1, None]]  # d: the mean of 0, 1 and 2
    assert axes.get_title() == "er" and bar.get_ylabel() == "stored samples"


def test_runs_without_a_memory_or_a_record_of_it_have_no_memory_figure(store: Path, make: Make) -> None:
    make("finetune", 0)
    assert "memory" not in [drawing.name for drawing in draw(rows(store))]


def test_of_many_rows_the_best_are_drawn_and_the_captions_say_so(store: Path, make: Make) -> None:
    for number in range(MOST + 2):
        make("er", 0, changed={"lr": number}, epochs=number + 1, offset=number / 100)
    make("lwf", 0, FAILED)
    drawings = draw(rows(store))
    labels = [line.get_label() for line in drawings[0].figure.axes[0].lines]
    assert labels == [f"er (lr={number})" for number in range(2, MOST + 2)]
    assert all(d.caption.endswith(f" The {MOST} rows with the highest mAP, of {MOST + 2}.") for d in drawings)


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
        "from clbench.report.figures import map_over_tasks; map_over_tasks([]); import matplotlib.figure; "
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.fixture
def drawn(store: Path, make: Make) -> dict[str, Drawing]:
    """Two seeds with the columns a, b, c, d and b, c, d, a; the second row has the second seed alone."""
    for seed in range(2):
        make("er", seed, drawn="d" * 64, stored=[[3, 1, 0, 0], [2, 1, 0, seed]])
    make("dlfl", 1, drawn="d" * 64)
    er_first = sorted(rows(store), key=lambda row: row.label, reverse=True)
    return {drawing.name: drawing for drawing in draw(er_first)}


def test_classes_of_seeds_with_orders_of_their_own_are_matched_by_name(drawn: dict[str, Drawing], store: Path) -> None:
    axes = drawn["classes"].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (7)", "c (6)", "a (4)", "d (3)"]
    dlfl, er = sorted(rows(store), key=lambda row: row.label)
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    first, second = (run.metrics["ap"][-1] for run in er.done)
    places = ((1, 0), (2, 1), (0, 3), (3, 2))  # of b, c, a and d in either
    assert np.allclose(lines["er"], [50 * (first[i] + second[j]) for i, j in places])
    assert np.allclose(lines["dlfl"], [100 * dlfl.done[0].metrics["ap"][-1][j] for _, j in places])


def test_their_memories_are_too_and_no_lines_part_tasks_that_are_one_seeds(drawn: dict[str, Drawing]) -> None:
    axes = drawn["memory"].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (7)", "c (6)", "a (4)", "d (3)"]
    values: Any = axes.images[0].get_array()
    assert values.tolist() == [[2.0, 0.5, 1.5, None], [1.5, 0.5, 1.5, None]] and not axes.lines


def test_an_image_has_the_name_of_its_runs_own_column(drawn: dict[str, Drawing]) -> None:
    assert [axes.get_title() for axes in drawn["attention"].figure.axes] == ["b", "c", "d"]  # dlfl's seed is 1


def test_captions_say_that_tasks_differ_between_seeds(drawn: dict[str, Drawing]) -> None:
    for name in ("map", "matrix", "forgetting", "memory"):
        assert "Tasks differ between seeds: task t is the t-th of each." in drawn[name].caption
    assert "may differ between seeds" in drawn["groups"].caption and "Lines part" not in drawn["memory"].caption


def test_captions_say_nothing_of_it_where_all_seeds_have_the_same_tasks(three: list[Row]) -> None:
    captions = {drawing.name: drawing.caption for drawing in draw(three)}
    assert not any("between seeds" in caption for caption in captions.values()) and "Lines part" in captions["memory"]
