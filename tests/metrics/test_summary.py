import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from clbench.metrics import Scores, average_precision, evaluate, f1_scores

ROWS = [np.array([0, 1, 2]), np.array([3, 4])]
CLASSES = [(0, 1), (2,)]
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8)
FIRST = np.array([[2, -1, 0], [-1, 2, 0], [1, 1, 0], [9, 9, 9], [9, 9, 9]], np.float32)
LAST = np.array([[-2, -1, 0], [1, 2, -3], [-1, 1, 0], [-1, -1, 4], [3, -1, -2]], np.float32)
GROUPS = {"majority": (0,), "minority": (1, 2)}


def summary(groups: Mapping[str, Sequence[int]] = GROUPS, **changed: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "logits": [FIRST, LAST],
        "labels": LABELS,
        "task_rows": ROWS,
        "task_classes": CLASSES,
    }
    return evaluate(Scores(**(arguments | changed)), groups)


def test_by_hand() -> None:
    found = summary()
    # after task 0, on its images: both classes ranked perfectly. At the end class 0 is ranked worst of three images:
    # scores -2 (+), 1, -1 (+): precisions 1/2 and 2/3; class 1: 2 (+), 1 (+), -1: perfect
    ap = (1 / 2 + 2 / 3) / 2
    assert found["matrix"]["mAP"] == [[1.0, None], [pytest.approx((ap + 1) / 2), 1.0]]
    assert found["final"]["forgetting_mAP"] == pytest.approx(1 - (ap + 1) / 2)
    halved = summary(logits=[np.where(LABELS[:, [0, 1, 2]] == 1, -9, 9).astype(np.float32), LAST])
    before, after = (row[0] for row in halved["matrix"]["mAP"])
    assert halved["final"]["forgetting_mAP"] == pytest.approx(before - after) != 0
    assert halved["final"]["forgetting_mAP_relative"] == pytest.approx((before - after) / before)
    assert found["overall"][0]["mAP"] == 1.0 and found["overall"][0]["classes"] == 2  # class 2 has no positive yet
    # overall at the end, five images, class 0: 3, 1, -1 and -1 tied (one +), -2 (+): 1/4 and 2/5
    assert found["final"]["mAP"] == pytest.approx(((1 / 4 + 2 / 5) / 2 + 1 + 1) / 3)
    assert found["final"]["average_mAP"] == pytest.approx((1 + found["final"]["mAP"]) / 2)
    assert found["groups"]["minority"]["mAP"] == 1.0
    assert found["positives"] == [2, 2, 1]
    assert found["ap"][0] == [1.0, 1.0, None]


def test_parts_are_the_metrics_themselves() -> None:
    found = summary()
    assert found["ap"][1] == pytest.approx(average_precision(LABELS, LAST).tolist())
    for name, value in f1_scores(LABELS, LAST).items():
        assert found["final"][name] == pytest.approx(value)
    assert found["matrix"]["OF1"][1][0] == pytest.approx(f1_scores(LABELS[:3, :2], LAST[:3, :2])["OF1"])


def test_the_threshold_is_used() -> None:
    assert summary(threshold=0.9)["final"]["OF1"] != summary()["final"]["OF1"]


def test_a_tasks_own_cells_do_not_depend_on_the_other_tasks_columns_and_images() -> None:
    noise = LAST.copy()
    noise[:3, 2], noise[3:, :2] = 99, -99
    assert summary(logits=[FIRST, noise])["matrix"] == summary()["matrix"]
    assert summary(logits=[FIRST, noise])["final"]["mAP"] != summary()["final"]["mAP"]


def test_scores_of_images_of_later_tasks_do_not_count_before() -> None:
    later = FIRST.copy()
    later[3:] = -50
    assert summary(logits=[later, LAST])["overall"] == summary()["overall"]


def test_a_task_without_a_group_has_no_forgetting_of_it() -> None:
    groups = summary(groups={"late": (2,), "early": (0, 1)})["groups"]
    assert groups["late"]["forgetting_mAP"] is None  # its task is the last one
    assert groups["late"]["average_mAP"] is None  # not averaged over the one task that has it
    assert groups["early"]["forgetting_mAP"] is not None


def test_joint_training_has_one_evaluation_and_no_forgetting() -> None:
    found = summary(logits=[LAST], joint=True)
    assert found["final"]["mAP"] == summary()["final"]["mAP"]
    assert found["final"]["average_mAP"] is None and found["final"]["forgetting_mAP"] is None
    assert len(found["matrix"]["mAP"]) == 1 and None not in found["matrix"]["mAP"][0]


@pytest.mark.parametrize("joint", [False, True])
def test_it_says_whether_training_was_joint(joint: bool) -> None:
    assert summary(logits=[LAST] if joint else [FIRST, LAST], joint=joint)["joint"] is joint


def test_joint_training_on_a_single_task_has_no_averages_either() -> None:
    one: dict[str, Any] = {"logits": [LAST], "task_rows": [np.arange(5)], "task_classes": [(0, 1, 2)]}
    continual, joint = (summary(**one, joint=joint)["final"] for joint in (False, True))
    assert continual["average_mAP"] == continual["mAP"] == joint["mAP"] and joint["average_mAP"] is None


def test_it_is_json() -> None:
    found = summary()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_images_that_two_tasks_share_count_once_overall() -> None:
    shared = [np.array([0, 1, 2]), np.array([2, 3, 4])]
    assert summary(task_rows=shared)["final"]["mAP"] == summary()["final"]["mAP"]


def test_bad_input_raises() -> None:
    with pytest.raises(ValueError, match="expected 2 evaluations but got 1"):
        summary(logits=[LAST])
    with pytest.raises(ValueError, match="NaN"):
        summary(logits=[FIRST, np.full_like(LAST, np.nan)])
