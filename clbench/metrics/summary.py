"""Everything that metrics.json says of a run's scores, from saved logits and labels alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clbench.arrays import FloatArray
from clbench.metrics.forgetting import mean_forgetting
from clbench.metrics.scores import MATRIX, Scores


def evaluate(scores: Scores, groups: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Metrics of a run, JSON-ready: fractions, None where a value is not defined.

    groups: name -> columns, e.g. of frequent and of rare classes; may be empty.

    Returns:
        joint: whether all tasks were learned at once, and so evaluated once.
        final: metrics after the last task, over the test images of all tasks and their classes with a positive there
            (`classes` counts them): mAP, CP, CR, CF1, CF1_mean, OP, OR, OF1; average_<m>, the mean over tasks of m
            after that task; forgetting_<m> and forgetting_<m>_relative, for m in mAP, CF1, OF1. One head, no task
            identity: a class's negatives come from all tasks (Kim et al., PRS).
        groups: the same for each group's columns.
        overall: what `final` has, after each task, over the test images and the classes of the tasks so far.
        matrix: m -> (evaluations, T), on each task's own test images and classes; None above the diagonal.
        ap: (evaluations, C) average precision over the test images of the tasks so far; positives: (C,), how many
            there are in the whole test set. Entries that `scores.scored` leaves out count nowhere.

    Raises:
        ValueError: arrays that do not fit, labels other than 0 and 1, NaN scores, or a threshold outside (0, 1).
    """
    evaluations = range(len(scores.logits))
    overall = [scores.at(k, scores.rows(k), sorted(scores.columns(k))) for k in evaluations]
    matrices = scores.matrices()
    ready: dict[str, Any] = _json_ready(
        {
            "joint": scores.joint,
            "final": _final(scores, overall, matrices),
            "groups": {name: _of_group(scores.only(columns)) for name, columns in groups.items()},
            "overall": overall,
            "matrix": matrices,
            "ap": [scores.class_precision(k) for k in evaluations],
            "positives": scores.positives(),
        }
    )
    return ready


def _of_group(scores: Scores) -> dict[str, float]:
    """What `final` has, of a group's columns; a task without any of them has no forgetting."""
    # Task after task, not sorted: the last bits of a mean depend on the order of its numbers.
    overall = [scores.at(k, scores.rows(k), scores.columns(k)) for k in range(len(scores.logits))]
    return _final(scores, overall, scores.matrices())


def _final(
    scores: Scores, overall: Sequence[Mapping[str, float]], matrices: Mapping[str, FloatArray]
) -> dict[str, float]:
    """The last of `overall`, averages over tasks, and forgetting; joint training has neither of these two."""
    values = dict(overall[-1])
    for name in MATRIX:
        average = math.nan if scores.joint else float(np.mean([after[name] for after in overall]))
        values[f"average_{name}"] = average
    for name in MATRIX:
        for suffix, relative in (("", False), ("_relative", True)):
            value = math.nan if scores.joint else mean_forgetting(matrices[name], relative=relative)
            values[f"forgetting_{name}{suffix}"] = value
    return values


def _json_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _json_ready(value.tolist())
    if isinstance(value, list):
        return [_json_ready(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
