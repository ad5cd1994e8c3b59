"""Entries that count in no metric: by hand, against scikit-learn on the others; and a mask of all is no mask."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from clbench.arrays import BoolArray, LabelArray, ScoreArray
from clbench.metrics import Scores, average_precision, evaluate, f1_scores

CASES = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, (n, 4), elements=st.integers(0, 1)),
        arrays(np.float32, (n, 4), elements=st.integers(-24, 24).map(lambda n: n / 8)),
        arrays(np.bool_, (n, 4)),
    )
)


def drawn(scored: BoolArray | None = None) -> Scores:
    """Two tasks that share images, five columns, scores that know a little."""
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 5)) < 0.4).astype(np.uint8)
    logits = [(rng.normal(size=labels.shape) + labels).astype(np.float32) for _ in range(2)]
    rows = [np.arange(40), np.arange(20, 60)]
    return Scores(logits=logits, labels=labels, task_rows=rows, task_classes=[(0, 1), (2, 3, 4)], scored=scored)


def test_by_hand() -> None:
    labels = np.array([[1, 1], [0, 1], [1, 0], [0, 0]], np.uint8)
    scores = np.array([[1, -1], [2, 3], [-1, 1], [3, -2]], np.float32)
    scored = np.array([[True, False], [True, True], [True, True], [False, True]])
    # class 0 without image 3: ranks 2, 1 (+), -1 (+): 1/2, 2/3; class 1 without image 0: 3 (+), 1, -2: 1
    assert average_precision(labels, scores, scored) == pytest.approx([(1 / 2 + 2 / 3) / 2, 1.0])
    # said of class 0: images 0 (+), 1; of class 1: images 1 (+), 2. There: class 0 images 0, 2; class 1 image 1.
    found = f1_scores(labels, scores, scored=scored)
    assert [found[name] for name in ("CP", "CR", "OP", "OR")] == pytest.approx([0.5, 0.75, 0.5, 2 / 3])
    assert found["CF1_mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_class_whose_positives_are_not_scored_has_no_value() -> None:
    labels, scores = np.array([[1, 1], [0, 0]], np.uint8), np.array([[1, 1], [0, 0]], np.float32)
    scored = np.array([[False, True], [True, True]])
    ap = average_precision(labels, scores, scored)
    assert math.isnan(ap[0]) and ap[1] == 1
    assert f1_scores(labels, scores, scored=scored) == f1_scores(labels[:, 1:], scores[:, 1:])
    assert all(math.isnan(value) for value in f1_scores(labels, scores, scored=np.zeros((2, 2), np.bool_)).values())


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(CASES)
def test_each_class_is_scikit_learns_over_its_scored_rows(case: tuple[LabelArray, ScoreArray, BoolArray]) -> None:
    labels, scores, scored = case
    found = average_precision(labels, scores, scored)
    for c, rows in enumerate(scored.T):
        if labels[rows, c].any():
            assert found[c] == pytest.approx(average_precision_score(labels[rows, c], scores[rows, c]), abs=1e-12)
        else:
            assert math.isnan(found[c])


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(CASES)
def test_f1_is_scikit_learns_over_the_scored_entries(case: tuple[LabelArray, ScoreArray, BoolArray]) -> None:
    labels, scores, scored = case
    counted = [c for c in range(4) if labels[scored[:, c], c].any()]
    found = f1_scores(labels, scores, 0.8, scored)
    if not counted:
        assert all(math.isnan(value) for value in found.values())
        return
    said = (1 / (1 + np.exp(-scores.astype(np.float64))) > 0.8).astype(np.uint8)
    each = [
        precision_recall_fscore_support(
            labels[scored[:, c], c], said[scored[:, c], c], average="binary", zero_division=0
        )[:3]
        for c in counted
    ]
    assert [found["CP"], found["CR"], found["CF1_mean"]] == pytest.approx(np.mean(each, axis=0).tolist(), abs=1e-12)
    entries = scored[:, counted]
    whole = f1_score(labels[:, counted][entries], said[:, counted][entries], zero_division=0)
    assert found["OF1"] == pytest.approx(whole, abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(CASES)
def test_a_mask_of_all_is_no_mask_to_the_bit(case: tuple[LabelArray, ScoreArray, BoolArray]) -> None:
    labels, scores, _ = case
    every = np.ones(labels.shape, np.bool_)
    assert average_precision(labels, scores, every).tobytes() == average_precision(labels, scores).tobytes()
    assert str(f1_scores(labels, scores, 0.5, every)) == str(f1_scores(labels, scores, 0.5))


def test_a_whole_summary_with_a_mask_of_all_is_the_one_without() -> None:
    groups = {"some": (0, 3)}
    plain = evaluate(drawn(), groups)
    assert json.dumps(evaluate(drawn(np.ones((60, 5), np.bool_)), groups)) == json.dumps(plain)


def test_what_is_not_scored_changes_nothing_in_a_summary() -> None:
    scored = np.random.default_rng(1).random((60, 5)) < 0.7
    whole = drawn(scored)
    others = replace(whole, labels=np.where(scored, whole.labels, 1 - whole.labels).astype(np.uint8))
    noise = [np.where(scored, logits, 99).astype(np.float32) for logits in whole.logits]
    found = evaluate(whole, {"some": (0, 3)})
    assert evaluate(others, {"some": (0, 3)}) == found == evaluate(replace(whole, logits=noise), {"some": (0, 3)})
    assert found["final"] != evaluate(drawn(), {})["final"]
    assert found["positives"] == (whole.labels * scored).sum(axis=0).tolist()


def test_the_cells_of_a_summary_are_over_their_own_scored_entries() -> None:
    scored = np.random.default_rng(2).random((60, 5)) < 0.7
    whole = drawn(scored)
    found = evaluate(whole, {})

    def mean_ap(k: int, rows: range, columns: tuple[int, ...]) -> float:
        values = []
        for c in columns:
            kept = [r for r in rows if scored[r, c]]
            values.append(average_precision_score(whole.labels[kept, c], whole.logits[k][kept, c]))
        return float(np.mean(values))

    assert found["matrix"]["mAP"][1] == pytest.approx(
        [mean_ap(1, range(40), (0, 1)), mean_ap(1, range(20, 60), (2, 3, 4))]
    )
    assert found["final"]["mAP"] == pytest.approx(mean_ap(1, range(60), (0, 1, 2, 3, 4)))
    assert found["ap"][0][:2] == pytest.approx([mean_ap(0, range(40), (0,)), mean_ap(0, range(40), (1,))])


@pytest.mark.parametrize("scored", [np.ones((2, 1), np.bool_), np.ones((3, 2), np.uint8)])
def test_a_mask_of_another_shape_or_type_raises(scored: BoolArray) -> None:
    labels, scores = np.ones((3, 2), np.uint8), np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"expected scored of bool \(3, 2\) but got"):
        average_precision(labels, scores, scored)
    with pytest.raises(ValueError, match=r"expected scored of bool \(3, 2\) but got"):
        f1_scores(labels, scores, scored=scored)


def test_scores_with_a_mask_of_another_shape_raise() -> None:
    with pytest.raises(ValueError, match=r"expected scored of shape \(60, 5\) but got \(60, 1\)"):
        drawn(np.ones((60, 1), np.bool_))
