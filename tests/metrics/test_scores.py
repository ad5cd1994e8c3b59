import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from clbench.metrics import Scores

ROWS = [np.array([4, 1, 0]), np.array([1, 3])]
CLASSES = [(2, 0), (1,)]
LABELS = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]], np.uint8)
FIRST = np.array([[3, math.nan, -1], [1, math.nan, 2], [0, math.nan, 0], [2, math.nan, 0], [-1, math.nan, 1]])
LAST = np.array([[-1, 1, 1], [2, -1, 2], [0, 0, 0], [-3, -2, -1], [1, 3, -1]])


def scores(**changed: Any) -> Scores:
    arguments: dict[str, Any] = {
        "logits": [FIRST.astype(np.float32), LAST.astype(np.float32)],
        "labels": LABELS,
        "task_rows": ROWS,
        "task_classes": CLASSES,
    }
    return Scores(**(arguments | changed))


def joint() -> Scores:
    return scores(logits=[LAST.astype(np.float32)], joint=True)


def drawn(tasks: int, seed: int = 0) -> Scores:
    """Many images, seven columns in no order, scores that know a little."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((80, 7)) < 0.4).astype(np.uint8)
    logits = [(rng.normal(size=labels.shape) + labels).astype(np.float32) for _ in range(tasks)]
    rows = [rng.choice(80, 40, replace=False) for _ in range(tasks)]
    classes = [part.tolist() for part in np.array_split(rng.permutation(7), tasks)]
    return Scores(logits=logits, labels=labels, task_rows=rows, task_classes=classes, threshold=0.7)


def test_an_evaluation_after_each_task_or_one_after_all() -> None:
    assert list(scores().learned) == [1, 2] and list(joint().learned) == [2]


@pytest.mark.parametrize(("logits", "of_joint", "said"), [(1, False, "2 .* got 1"), (2, True, "1 .* got 2")])
def test_another_number_of_evaluations_raises(logits: int, of_joint: bool, said: str) -> None:
    with pytest.raises(ValueError, match=f"expected {said}"):
        scores(logits=[LAST.astype(np.float32)] * logits, joint=of_joint)


def test_images_so_far_count_once_and_classes_so_far_go_by_task() -> None:
    assert [scores().rows(k).tolist() for k in (0, 1)] == [[0, 1, 4], [0, 1, 3, 4]]
    assert [scores().columns(k) for k in (0, 1)] == [[2, 0], [2, 0, 1]]
    assert joint().rows(0).tolist() == [0, 1, 3, 4] and joint().columns(0) == [2, 0, 1]


def test_of_some_columns_alone() -> None:
    whole = scores()
    part = whole.only((0, 1))
    assert [list(classes) for classes in part.task_classes] == [[0], [1]]
    assert [list(classes) for classes in whole.only((1,)).task_classes] == [[], [1]]
    assert whole.task_classes is CLASSES and part.rows(1).tolist() == whole.rows(1).tolist()
    assert joint().only((1,)).joint and scores(threshold=0.9).only((1,)).threshold == 0.9


def test_a_part_by_hand() -> None:
    # column 2, images 4 (+), 1 (+), 0: scores 1, 2, -1, both positives on top. Column 0: -1, 1, 3 (images 4 and 0 have
    # it): precisions 1/1 and 2/3. Said: column 2 images 4, 1; column 0 images 1, 0. Three hits of four said and four.
    found = scores().at(0, ROWS[0], CLASSES[0])
    assert found["mAP"] == pytest.approx((1 + (1 + 2 / 3) / 2) / 2) and found["classes"] == 2
    assert found["OP"] == found["OR"] == found["OF1"] == 0.75
    assert found["CP"] == pytest.approx((1 + 1 / 2) / 2) == found["CR"]
    assert list(found) == ["mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1", "classes"]


def test_a_part_without_a_positive_has_no_values_and_counts_no_class() -> None:
    found = scores().at(1, np.array([2]), [0, 1])
    assert found.pop("classes") == 0 and all(math.isnan(value) for value in found.values())


def test_columns_of_tasks_to_come_may_be_nan_but_no_others() -> None:
    assert scores().at(0, ROWS[0], CLASSES[0])["mAP"] > 0
    with pytest.raises(ValueError, match="got 2 NaN"):
        scores().at(0, ROWS[1], CLASSES[1])


def test_each_class_over_the_images_so_far() -> None:
    first, last = (scores().class_precision(k) for k in (0, 1))
    assert first[[0, 2]] == pytest.approx([(1 + 2 / 3) / 2, 1.0]) and math.isnan(first[1])
    # images 0, 1, 3, 4. Column 0: -1 (+), 2, -3, 1 (+): 1/2, 2/3. Column 1: 1, -1 (+), -2 (+), 3: 1/3, 2/4.
    # Column 2: 1, 2 (+), -1, -1 (+) in a tie: 1/1, 2/4.
    assert last == pytest.approx([(1 / 2 + 2 / 3) / 2, (1 / 3 + 2 / 4) / 2, (1 + 2 / 4) / 2])


def test_the_matrices_by_hand() -> None:
    found = scores().matrices()
    # At the end, task 0, images 4, 1, 0: column 2: -1 (+), 2 (+), 1: 1/1, 2/3; column 0: 1 (+), 2, -1 (+): 1/2, 2/3.
    # Task 1: column 1 over images 1 and 3, both of which have it.
    expected = [[(1 + (1 + 2 / 3) / 2) / 2, math.nan], [((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 2, 1.0]]
    np.testing.assert_allclose(found["mAP"], expected, atol=1e-12)
    assert found["OF1"][1, 1] == 0.0  # neither is said
    assert list(found) == ["mAP", "CF1", "OF1"]


def test_the_matrices_have_no_cell_of_a_task_without_columns_and_one_line_where_joint() -> None:
    late = scores().only((1,)).matrices()["mAP"]
    assert np.isnan(late).tolist() == [[True, True], [True, False]]
    np.testing.assert_allclose(joint().matrices()["mAP"], scores().matrices()["mAP"][1:], atol=0)


@pytest.mark.parametrize("tasks", [1, 3])
def test_cells_are_scikit_learns(tasks: int) -> None:
    found = drawn(tasks)
    matrices = found.matrices()
    for k in range(tasks):
        for t in range(k + 1):
            labels, logits = (a[found.task_rows[t]][:, found.task_classes[t]] for a in (found.labels, found.logits[k]))
            said = (1 / (1 + np.exp(-logits.astype(np.float64))) > 0.7).astype(np.uint8)
            assert matrices["mAP"][k, t] == pytest.approx(average_precision_score(labels, logits, average="macro"))
            assert matrices["OF1"][k, t] == pytest.approx(f1_score(labels, said, average="micro"))
