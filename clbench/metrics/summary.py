"""Everything that metrics.json says of a run's scores, from saved logits and labels alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clbench.arrays import FloatArray, IntArray, LabelArray, ScoreArray
from clbench.metrics.forgetting import mean_forgetting
from clbench.metrics.ranking import average_precision, mean_over_classes
from clbench.metrics.thresholded import f1_scores

MATRIX = ("mAP", "CF1", "OF1")
"""Metrics that have a task-by-task matrix, an average over tasks and forgetting."""


def evaluate(
    logits: Sequence[ScoreArray],
    labels: LabelArray,
    task_rows: Sequence[IntArray],
    task_classes: Sequence[Sequence[int]],
    groups: Mapping[str, Sequence[int]],
    *,
    threshold: float = 0.5,
    joint: bool = False,
) -> dict[str, Any]:
    """Metrics of a run, JSON-ready: fractions, None where a value is not defined.

    logits: (N, C) float32 after each trained task; one only where `joint`; columns of tasks to come may be NaN.
    labels: (N, C). task_rows: rows of each task's test images; tasks may share some. task_classes, groups: columns.

    Returns:
        final: metrics after the last task, over the test images of all tasks and their classes with a positive there
            (`classes` counts them): mAP, CP, CR, CF1, CF1_mean, OP, OR, OF1; average_<m>, the mean over tasks of m
            after that task; forgetting_<m> and forgetting_<m>_relative, for m in mAP, CF1, OF1. One head, no task
            identity: a class's negatives come from all tasks (Kim et al., PRS).
        groups: the same for each group's columns.
        overall: what `final` has, after each task, over the test images and the classes of the tasks so far.
        matrix: m -> (evaluations, T), on each task's own test images and classes; None above the diagonal.
        ap: (evaluations, C) average precision over the test images of the tasks so far; positives: (C,), how many
            there are in the whole test set.

    Raises:
        ValueError: shapes that do not fit, or NaN scores.
    """
    tasks = len(task_rows)
    if len(logits) != (1 if joint else tasks):
        raise ValueError(f"expected {1 if joint else tasks} evaluations but got {len(logits)}")
    seen = [tasks] if joint else list(range(1, tasks + 1))
    rows = [np.unique(np.concatenate(task_rows[:n])) for n in seen]
    columns = [sorted(c for classes in task_classes[:n] for c in classes) for n in seen]
    overall = [_at(logits[k][rows[k]], labels[rows[k]], columns[k], threshold) for k in range(len(logits))]
    matrices = _matrices(logits, labels, task_rows, task_classes, seen, threshold)
    result = {
        "final": overall[-1] | _over_tasks(overall, matrices, joint),
        "groups": {
            name: _group(logits, labels, task_rows, task_classes, seen, rows, members, threshold, joint)
            for name, members in groups.items()
        },
        "overall": overall,
        "matrix": matrices,
        "ap": [_every_ap(logits[k][rows[k]], labels[rows[k]], columns[k]) for k in range(len(logits))],
        "positives": labels.sum(axis=0, dtype=np.int64),
    }
    ready: dict[str, Any] = _json_ready(result)
    return ready


def _at(scores: ScoreArray, labels: LabelArray, columns: Sequence[int], threshold: float) -> dict[str, float | int]:
    """Every metric on some images and columns."""
    chosen, ranked = labels[:, list(columns)], scores[:, list(columns)]
    value, counted = mean_over_classes(average_precision(chosen, ranked))
    return {"mAP": value, **f1_scores(chosen, ranked, threshold), "classes": counted}


def _every_ap(scores: ScoreArray, labels: LabelArray, columns: Sequence[int]) -> FloatArray:
    """Average precision of all classes (C,); NaN for those not yet learned."""
    values = np.full(labels.shape[1], np.nan)
    values[list(columns)] = average_precision(labels[:, list(columns)], scores[:, list(columns)])
    return values


def _matrices(
    logits: Sequence[ScoreArray],
    labels: LabelArray,
    task_rows: Sequence[IntArray],
    task_columns: Sequence[Sequence[int]],
    seen: Sequence[int],
    threshold: float,
) -> dict[str, FloatArray]:
    """Metric -> (evaluations, T); NaN for tasks that are not yet trained, or have none of the columns."""
    matrices = {name: np.full((len(logits), len(task_rows)), np.nan) for name in MATRIX}
    for k, scores in enumerate(logits):
        for t in range(seen[k]):
            if len(task_columns[t]):
                values = _at(scores[task_rows[t]], labels[task_rows[t]], task_columns[t], threshold)
                for name in MATRIX:
                    matrices[name][k, t] = values[name]
    return matrices


def _over_tasks(
    overall: Sequence[Mapping[str, float]], matrices: Mapping[str, FloatArray], joint: bool
) -> dict[str, float]:
    """Averages over tasks, and forgetting; joint training has neither."""
    values = {}
    for name in MATRIX:
        values[f"average_{name}"] = math.nan if joint else float(np.mean([after[name] for after in overall]))
    for name in MATRIX:
        for suffix, relative in (("", False), ("_relative", True)):
            value = math.nan if joint else mean_forgetting(matrices[name], relative=relative)
            values[f"forgetting_{name}{suffix}"] = value
    return values


def _group(
    logits: Sequence[ScoreArray],
    labels: LabelArray,
    task_rows: Sequence[IntArray],
    task_classes: Sequence[Sequence[int]],
    seen: Sequence[int],
    rows: Sequence[IntArray],
    columns: Sequence[int],
    threshold: float,
    joint: bool,
) -> dict[str, float]:
    """What `final` has, for a group's columns; a task without any of them has no forgetting."""
    of_tasks = [[c for c in classes if c in set(columns)] for classes in task_classes]
    overall = [
        _at(logits[k][rows[k]], labels[rows[k]], [c for classes in of_tasks[:n] for c in classes], threshold)
        for k, n in enumerate(seen)
    ]
    matrices = _matrices(logits, labels, task_rows, of_tasks, seen, threshold)
    return overall[-1] | _over_tasks(overall, matrices, joint)


def _json_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _json_ready(value.tolist())
    if isinstance(value, list):
        return [_json_ready(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
