import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, precision_recall_fscore_support

from clbench.arrays import LabelArray, ScoreArray
from clbench.metrics import f1_scores

Labels = LabelArray

CASES = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, (n, 4), elements=st.integers(0, 1)),
        arrays(np.float32, (n, 4), elements=st.integers(-24, 24).map(lambda n: n / 8)),
    )
)


@settings(deadline=None, max_examples=150)
@given(CASES, st.sampled_from([0.5, 0.8, 0.1]))
def test_equals_scikit_learn(case: tuple[Labels, ScoreArray], threshold: float) -> None:
    labels, scores = case
    found = f1_scores(labels, scores, threshold)
    counted = labels.any(axis=0)
    if not counted.any():
        assert all(math.isnan(value) for value in found.values())
        return
    true = labels[:, counted]
    said = (1 / (1 + np.exp(-scores[:, counted].astype(np.float64))) > threshold).astype(np.uint8)
    # one column alone would be taken for a binary problem: a class that is never there nor said changes no sum
    true, said = (np.pad(a, ((0, 0), (0, 1))) for a in (true, said))
    p, r, f, _ = precision_recall_fscore_support(true, said, average=None, zero_division=0)
    classes = int(counted.sum())
    cp, cr = p.sum() / classes, r.sum() / classes
    assert found["CP"] == pytest.approx(cp, abs=1e-12)
    assert found["CR"] == pytest.approx(cr, abs=1e-12)
    assert found["CF1"] == pytest.approx(2 * cp * cr / (cp + cr) if cp + cr else 0, abs=1e-12)
    assert found["CF1_mean"] == pytest.approx(f.sum() / classes, abs=1e-12)
    assert found["OF1"] == pytest.approx(f1_score(true, said, average="micro", zero_division=0), abs=1e-12)


def test_the_two_class_f1_differ_by_hand() -> None:
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.uint8)
    scores = np.array([[1, 1], [1, 1], [-1, 1], [-1, 1]], np.float32)
    # class 0: P = R = 1; class 1: P = 2/4, R = 2/2. All: 4 hits of 6 said, 4 there
    found = f1_scores(labels, scores)
    assert found["CF1"] == pytest.approx(2 * 0.75 * 1 / 1.75)  # 0.857
    assert found["CF1_mean"] == pytest.approx((1 + 2 / 3) / 2)  # 0.833
    assert found["OF1"] == pytest.approx(2 * (4 / 6) * 1 / (4 / 6 + 1))
    assert found["OP"] == pytest.approx(4 / 6) and found["OR"] == 1.0


def test_the_threshold_itself_is_no_prediction_and_nothing_overflows() -> None:
    labels = np.array([[1], [1]], np.uint8)
    assert f1_scores(labels, np.zeros((2, 1), np.float32))["OF1"] == 0
    assert f1_scores(labels, np.full((2, 1), 1e30, np.float32))["OF1"] == 1
    assert f1_scores(labels, np.full((2, 1), -1e30, np.float32))["OF1"] == 0


@pytest.mark.parametrize("threshold", [0.0, 1.0, math.nan])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold between 0 and 1"):
        f1_scores(np.ones((1, 1)), np.zeros((1, 1)), threshold)
