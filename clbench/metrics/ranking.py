"""Average precision, by counting instead of ranking.

AP = mean over positives of (positives with score >= s) / (all with score >= s), s being the positive's own score: ties
are counted together. Both counts come from binary search in sorted *values*; no sample is ever ranked, which is an
order of magnitude faster (bench/ranking.py).

Source: scikit-learn's step-wise definition (`average_precision_score`), which PRS's released evaluation uses too.

Matched: scikit-learn's value on 1,000 cases, ties of every kind among them
(tests/metrics/test_ranking.py::test_equals_scikit_learn_on_1_000_cases), and over the entries that are scored within
1e-12 (tests/metrics/test_scored.py::test_each_class_is_scikit_learns_over_its_scored_rows).

Differs: a class without a positive has no value and is left out of the mean, and counted, where the KRT family's code
gives it 0; that code also breaks ties by position.

Never run: beside the papers' own evaluation code.
"""

import numpy as np
import numpy.typing as npt

from clbench.arrays import BoolArray, FloatArray, IntArray

BUCKETS = 1 << 15
"""Equal steps of the score that `_at_least` counts by; of this order for 10^4 to 10^6 scores a class."""


def average_precision(
    labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating], scored: BoolArray | None = None
) -> FloatArray:
    """Average precision of each class.

    labels: (N, C) in {0, 1}. scores: (N, C) floating; rank raw float32 logits, as probabilities saturate and bf16 ties.
    Infinite scores are ranked like any other.
    scored: (N, C) bool, False for entries that do not count: a class is ranked over its other rows alone. None: all do.
    Returns (C,) float64; NaN for a class without a positive.

    Raises:
        ValueError: shapes that differ, labels other than 0 and 1, or NaN scores.
    """
    check(labels, scores, scored)
    columns = zip(np.ascontiguousarray(labels.T) != 0, np.ascontiguousarray(scores.T), strict=True)
    if scored is None:
        return np.array([_one(positive, values) for positive, values in columns], np.float64)
    masked = zip(columns, np.ascontiguousarray(scored.T), strict=True)
    return np.array([_one(positive[rows], values[rows]) for (positive, values), rows in masked], np.float64)


def _one(positive: BoolArray, values: npt.NDArray[np.floating]) -> float:
    hits = np.sort(values[positive])
    if not len(hits):
        return float("nan")
    differs = np.append(True, hits[1:] != hits[:-1])
    first_of_ties = np.maximum.accumulate(np.where(differs, np.arange(len(hits)), 0))
    return float(np.mean((len(hits) - first_of_ties) / _at_least(values, hits)))


def _at_least(values: npt.NDArray[np.floating], hits: npt.NDArray[np.floating]) -> IntArray:
    """How many `values` (N,) are at least as large as each of `hits` (P,), sorted and taken from among them.

    Sorting everything is what takes the time, so only values that share a bucket with a hit are sorted; of the others
    the bucket tells. The bucket never falls as the value rises, rounding included, so the counts are exact.
    """
    low, high = values.min(), values.max()
    with np.errstate(over="ignore", invalid="ignore"):  # infinite scores
        scale = values.dtype.type(BUCKETS) / (high - low) if high > low else values.dtype.type(0)
    if not 0 < scale < np.inf:
        ranked = np.sort(values)
        return len(ranked) - np.searchsorted(ranked, hits, "left")
    bucket, hit_bucket = (((v - low) * scale).astype(np.intp) for v in (values, hits))
    shared = np.zeros(BUCKETS + 2, np.bool_)
    shared[hit_bucket] = True
    ranked = np.sort(values[shared[bucket]])
    others = np.bincount(bucket, minlength=BUCKETS + 2)
    others[hit_bucket] = 0
    up_to = np.cumsum(others)
    counts: IntArray = len(ranked) - np.searchsorted(ranked, hits, "left") + up_to[-1] - up_to[hit_bucket]
    return counts


def mean_over_classes(values: FloatArray) -> tuple[float, int]:
    """Mean over the classes that have a value, and how many they are; (NaN, 0) for none."""
    defined = values[~np.isnan(values)]
    return (float(defined.mean()), len(defined)) if len(defined) else (float("nan"), 0)


def check(labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating], scored: BoolArray | None = None) -> None:
    """Raises ValueError unless all are (N, C), `scored` of bool, labels in {0, 1}, and no score is NaN."""
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"expected labels and scores of one shape (N, C) but got {labels.shape} and {scores.shape}")
    if scored is not None and (scored.shape != labels.shape or scored.dtype != np.bool_):
        raise ValueError(f"expected scored of bool {labels.shape} but got {scored.dtype} {scored.shape}")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("expected labels of 0 and 1 but got other values")
    bad = int(np.isnan(scores).sum())
    if bad:
        raise ValueError(f"expected scores that can be ranked but got {bad} NaN")
