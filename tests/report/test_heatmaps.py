from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clbench.report.figures import Drawing, draw
from clbench.report.rows import Row, collect
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_attention_stands_over_its_image_with_its_label(three: list[Row]) -> None:
    figure = {drawing.name: drawing.figure for drawing in draw(three)}["attention"]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c"]
    recorded = next(row for row in three if row.first.strategy == "dlfl").done[0].arrays("attention")
    picture, over = figure.axes[1].images
    assert np.allclose(picture.get_array(), recorded["pixels"][1].mean(axis=0))  # type: ignore[arg-type]
    assert np.allclose(over.get_array(), recorded["maps"][1])  # type: ignore[arg-type]


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


def test_their_memories_are_too_and_no_lines_part_tasks_that_are_one_seeds(drawn: dict[str, Drawing]) -> None:
    axes = drawn["memory"].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (7)", "c (6)", "a (4)", "d (3)"]
    values: Any = axes.images[0].get_array()
    assert values.tolist() == [[2.0, 0.5, 1.5, None], [1.5, 0.5, 1.5, None]] and not axes.lines


def test_an_image_has_the_name_of_its_runs_own_column(drawn: dict[str, Drawing]) -> None:
    assert [axes.get_title() for axes in drawn["attention"].figure.axes] == ["b", "c", "d"]  # dlfl's seed is 1


@pytest.mark.slow
def test_tasks_are_counted_from_one_as_everywhere(three: list[Row]) -> None:
    figures = {drawing.name: drawing.figure for drawing in draw(three)}
    matrix: Any = figures["matrix"].axes[0]
    memory: Any = figures["memory"].axes[0]
    for labels in (matrix.get_xticklabels(), matrix.get_yticklabels(), memory.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["1", "2"]
    assert [label.get_text() for label in figures["forgetting"].axes[0].get_xticklabels()] == ["task 1"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "columns"), [("ewc", 4), ("a_name_of_many_letters", 3)])
def test_four_heat_maps_stand_beside_each_other_where_their_names_are_short(
    store: Path, make: Make, name: str, columns: int
) -> None:
    for strategy in ("er", "lwf", "agem", "zero", name):
        make(strategy, 0)
    figure: Any = next(drawing for drawing in draw(rows(store)) if drawing.name == "matrix").figure
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == 5 and panels[0].get_subplotspec().get_gridspec().ncols == columns
