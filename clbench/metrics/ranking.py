"""Average precision, by sorting values and counting.

AP = mean over positives of (positives with score >= s) / (all with score >= s), s being the positive's own score: this
is scikit-learn's step-wise definition, with ties counted together. Both counts come from binary search in sorted
*values*, which is an order of magnitude faster than ranking every sample (bench/ranking.py).
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def average_precision(labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]) -> FloatArray:
    """Average precision of each class.

    labels: (N, C) in {0, 1}. scores: (N, C) floating; rank raw float32 logits, as probabilities saturate and bf16 ties.
    Infinite scores are ranked like any other.
    Returns (C,) float64; NaN for a class without a positive.

    Raises:
        ValueError: shapes that differ, labels other than 0 and 1, or NaN scores.
    """
    check(labels, scores)
    return np.array([_one(labels[:, c] != 0, scores[:, c]) for c in range(labels.shape[1])], np.float64)


def _one(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> float:
    ranked = np.sort(scores)
    hits = np.sort(scores[positive])
    if not len(hits):
        return float("nan")
    above = len(ranked) - np.searchsorted(ranked, hits, "left")
    hits_above = len(hits) - np.searchsorted(hits, hits, "left")
    return float(np.mean(hits_above / above))


def mean_over_classes(values: FloatArray) -> tuple[float, int]:
    """Mean over the classes that have a value, and how many they are; (NaN, 0) for none."""
    defined = values[~np.isnan(values)]
    return (float(defined.mean()), len(defined)) if len(defined) else (float("nan"), 0)


def check(labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]) -> None:
    """Raises ValueError unless labels and scores are (N, C), labels in {0, 1}, and no score is NaN."""
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"expected labels and scores of one shape (N, C) but got {labels.shape} and {scores.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("expected labels of 0 and 1 but got other values")
    bad = int(np.isnan(scores).sum())
    if bad:
        raise ValueError(f"expected scores that can be ranked but got {bad} NaN")
