import math
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from clbench.arrays import FloatArray, LabelArray
from clbench.metrics import average_precision, mean_over_classes

Labels = LabelArray
Scores = npt.NDArray[np.floating]

REGIMES: dict[str, Callable[[Scores], Scores]] = {
    "no ties": lambda scores: scores,
    "two decimals": lambda scores: scores.round(2),
    "eight bits": lambda scores: scores.astype(np.float16).astype(np.float32).round(1),
    "all equal": np.zeros_like,
}

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from(
    [0.0, -0.0, 1.0, 1.5, np.float32(1e-40).item(), -7.0]
)
CASES = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, (n, 3), elements=st.integers(0, 1)), arrays(np.float32, (n, 3), elements=FLOATS)
    )
)


def oracle(labels: Labels, scores: Scores) -> FloatArray:
    """scikit-learn's, NaN for a class without a positive (it warns and says 0)."""
    return np.array(
        [
            average_precision_score(labels[:, c], scores[:, c]) if labels[:, c].any() else math.nan
            for c in range(labels.shape[1])
        ]
    )


def agrees(labels: Labels, scores: Scores) -> None:
    np.testing.assert_allclose(average_precision(labels, scores), oracle(labels, scores), rtol=0, atol=1e-12)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_scikit_learn_in_every_regime_of_ties(regime: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((3000, 12)) < np.linspace(0.001, 0.5, 12)).astype(np.uint8)
    scores: Scores = (rng.normal(size=labels.shape) + labels).astype(np.float32)
    agrees(labels, REGIMES[regime](scores).astype(dtype))


@settings(deadline=None, max_examples=150)
@given(CASES)
@example((np.array([[1, 0, 1]], np.uint8), np.zeros((1, 3), np.float32)))
@example((np.ones((5, 3), np.uint8), np.arange(15, dtype=np.float32).reshape(5, 3)))
def test_equals_scikit_learn_on_small_cases(case: tuple[Labels, Scores]) -> None:
    agrees(*case)


@pytest.mark.slow
@settings(deadline=None, max_examples=1_000)
@given(CASES)
def test_equals_scikit_learn_on_1_000_cases(case: tuple[Labels, Scores]) -> None:
    agrees(*case)


@pytest.mark.parametrize("spike", [1e30, -1e30, 1e-30])
def test_scores_that_crowd_into_one_bucket_are_told_apart(spike: float) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 2)) < 0.2).astype(np.uint8)
    scores = rng.normal(size=labels.shape).astype(np.float32)
    scores[0] = spike
    agrees(labels, scores)


def test_infinite_scores_are_ranked_like_any_other() -> None:
    labels = np.array([[1], [0], [1], [0], [1]], np.uint8)
    finite = np.array([[9.0], [1.0], [2.0], [-9.0], [-9.0]])
    infinite = np.array([[np.inf], [1.0], [2.0], [-np.inf], [-np.inf]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert average_precision(labels, infinite) == average_precision(labels, finite)


def test_by_hand() -> None:
    # ranks: 1, 0, 1, 0 -> precisions at the positives 1/1 and 2/3
    labels = np.array([[1], [0], [1], [0]], np.uint8)
    assert average_precision(labels, np.array([[4.0], [3.0], [2.0], [1.0]])) == pytest.approx([(1 + 2 / 3) / 2])
    # the positive tied with a negative: both are counted
    assert average_precision(labels[:2], np.array([[1.0], [1.0]])) == pytest.approx([1 / 2])


def test_a_class_without_a_positive_is_left_out_and_counted() -> None:
    labels = np.array([[1, 0], [0, 0]], np.uint8)
    ap = average_precision(labels, np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert ap[0] == 1 and math.isnan(ap[1])
    assert mean_over_classes(ap) == (1.0, 1)
    nothing = mean_over_classes(np.array([math.nan]))
    assert math.isnan(nothing[0]) and nothing[1] == 0
    assert np.isnan(average_precision(np.zeros((0, 2), np.uint8), np.zeros((0, 2)))).all()


@pytest.mark.parametrize(
    ("labels", "scores", "sentence"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), r"one shape \(N, C\) but got \(2, 2\) and \(2, 3\)"),
        (np.zeros(2), np.zeros(2), r"one shape \(N, C\) but got \(2,\)"),
        (np.full((1, 1), 2), np.zeros((1, 1)), "labels of 0 and 1"),
        (np.zeros((2, 1)), np.array([[0.0], [math.nan]]), "got 1 NaN"),
    ],
)
def test_bad_input_raises(labels: Labels, scores: Scores, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        average_precision(labels, scores)
