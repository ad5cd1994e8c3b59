"""F1 scores of thresholded predictions: CF1 as in PRS, CF1_mean as in the KRT family, OF1.

CF1: harmonic mean of macro precision CP and macro recall CR. CF1_mean: mean of the classes' own F1. OF1: micro. A ratio
with denominator 0 is 0.

Source: Kim et al. (PRS, ECCV 2020, arXiv 2009.03632; released code read) for CF1 and OF1; the released code of KRT,
CSC, CUTER and MULTI-LANE for CF1_mean.

Matched: CP, CR, both CF1 and OF1 are made of scikit-learn's precision, recall and F1 within 1e-12
(tests/metrics/test_thresholded.py::test_equals_scikit_learn). The two class F1 of one case by hand
(tests/metrics/test_thresholded.py::test_the_two_class_f1_differ_by_hand).

Differs: a class without a positive is left out.

Never run: beside the papers' own evaluation code.
"""

import math

import numpy as np
import numpy.typing as npt

from clbench.arrays import BoolArray, FloatArray
from clbench.metrics.ranking import check

F1_NAMES = ("CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1")


def f1_scores(
    labels: npt.NDArray[np.generic],
    scores: npt.NDArray[np.floating],
    threshold: float = 0.5,
    scored: BoolArray | None = None,
) -> dict[str, float]:
    """`CP`, `CR`, `CF1`, `CF1_mean`, `OP`, `OR`, `OF1` over the classes with a positive; all NaN without one.

    labels: (N, C) in {0, 1}. scores: (N, C) logits. threshold: on the probability; sigmoid(score) > threshold.
    scored: (N, C) bool, False for entries that do not count. None: all do.

    Raises:
        ValueError: as `average_precision`, or a threshold outside (0, 1).
    """
    check(labels, scores, scored)
    if not 0 < threshold < 1:
        raise ValueError(f"expected a threshold between 0 and 1 but got {threshold}")
    counted = (labels if scored is None else (labels != 0) & scored).any(axis=0)
    if not counted.any():
        return dict.fromkeys(F1_NAMES, math.nan)
    # sigmoid(s) > t as s > log(t / (1 - t)), which cannot overflow
    predicted = scores[:, counted].astype(np.float64) > math.log(threshold / (1 - threshold))
    true = labels[:, counted] != 0
    if scored is not None:
        predicted, true = predicted & scored[:, counted], true & scored[:, counted]
    hits, said, there = (a.sum(axis=0).astype(np.float64) for a in (predicted & true, predicted, true))
    precision, recall = _ratio(hits, said), _ratio(hits, there)
    overall_precision, overall_recall = (float(_ratio(hits.sum(), n.sum())) for n in (said, there))
    cp, cr = float(precision.mean()), float(recall.mean())
    return {
        "CP": cp,
        "CR": cr,
        "CF1": _harmonic(cp, cr),
        "CF1_mean": float(_ratio(2 * hits, said + there).mean()),
        "OP": overall_precision,
        "OR": overall_recall,
        "OF1": _harmonic(overall_precision, overall_recall),
    }


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
