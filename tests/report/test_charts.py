import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clbench.report.figures import Drawing, draw
from clbench.report.rows import Row, collect
from clbench.report.style import svg
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def texts(document: str) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(document).iter())


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


def test_classes_go_from_frequent_in_training_to_rare(three: list[Row]) -> None:
    axes = next(drawing for drawing in draw(three) if drawing.name == "classes").figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (9)", "a (5)", "d (4)", "c (2)"]
    assert "training images" in axes.get_xlabel()
    er = next(row for row in three if row.first.strategy == "er")
    [drawn] = [line.get_ydata() for line in axes.lines if line.get_label() == "er"]
    mean = np.mean([run.metrics["ap"][-1] for run in er.done], axis=0)
    assert np.allclose(drawn, 100 * mean[[1, 0, 3, 2]])


def test_classes_of_seeds_with_orders_of_their_own_are_matched_by_name(drawn: dict[str, Drawing], store: Path) -> None:
    axes = drawn["classes"].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b (7)", "c (6)", "a (4)", "d (3)"]
    dlfl, er = sorted(rows(store), key=lambda row: row.label)
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    first, second = (run.metrics["ap"][-1] for run in er.done)
    places = ((1, 0), (2, 1), (0, 3), (3, 2))  # of b, c, a and d in either
    assert np.allclose(lines["er"], [50 * (first[i] + second[j]) for i, j in places])
    assert np.allclose(lines["dlfl"], [100 * dlfl.done[0].metrics["ap"][-1][j] for _, j in places])


def test_angles_stand_beside_the_best_of_one_shared_feature(store: Path, make: Make) -> None:
    for seed in range(2):
        make("er", seed, by_positives=[[1, 40.0 + seed, 5], [2, 100.0, 4]])
        make("dlfl", seed, by_positives=[[1, 20.0, 5], [2, 21.0 + 2 * seed, 4], *([[3, 25.0, 1]] if seed else [])])
    make("lwf", 0)  # as an older version leaves it
    [drawing] = [each for each in draw(rows(store)) if each.name == "angles"]
    lines = {str(line.get_label()): line for line in drawing.figure.axes[0].lines}
    assert set(lines) == {"er", "dlfl", "one feature for all, at best"}
    assert np.asarray(lines["er"].get_xydata()).tolist() == [[1, 40.5], [2, 100.0]]
    assert np.asarray(lines["dlfl"].get_xydata()).tolist() == [[1, 20.0], [2, 22.0], [3, 25.0]]
    best = np.asarray(lines["one feature for all, at best"].get_ydata())
    np.testing.assert_allclose(best, [0.0, 45.0, 54.7356], atol=1e-4)
    assert drawing.figure.axes[0].get_ylim()[0] == 0 and drawing.figure.axes[0].get_ylim()[1] > 100


def test_without_images_of_two_labels_there_is_no_angle_to_compare(store: Path, make: Make) -> None:
    make("er", 0, by_positives=[[1, 40.0, 5]])
    assert "angles" not in {each.name for each in draw(rows(store))}
