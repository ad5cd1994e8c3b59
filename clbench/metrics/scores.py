"""What a run has scored on its test images, and the metrics of any part of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clbench.arrays import BoolArray, FloatArray, IntArray, LabelArray, ScoreArray
from clbench.metrics.ranking import average_precision, mean_over_classes
from clbench.metrics.thresholded import f1_scores

MATRIX = ("mAP", "CF1", "OF1")
"""Metrics that have a task-by-task matrix, an average over tasks and forgetting."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Logits of every evaluation, the truth, and which images and columns are each task's.

    logits: (N, C) float32 after each trained task; columns of tasks to come may be NaN.
    labels: (N, C) uint8 in {0, 1}. task_rows: for each task the rows of its test images, int64; tasks may share some.
    task_classes: for each task its columns. threshold: on the probability, see `f1_scores`.
    joint: whether all tasks were learned at once; then there is one evaluation, at the end.
    scored: (N, C) bool, False for entries that count in no metric, e.g. as nobody may know their label. None: all do.

    Raises:
        ValueError: another number of evaluations than that, or `scored` of another shape than the labels.
    """

    logits: Sequence[ScoreArray]
    labels: LabelArray
    task_rows: Sequence[IntArray]
    task_classes: Sequence[Sequence[int]]
    threshold: float = 0.5
    joint: bool = False
    scored: BoolArray | None = None

    def __post_init__(self) -> None:
        if len(self.logits) != len(self.learned):
            raise ValueError(f"expected {len(self.learned)} evaluations but got {len(self.logits)}")
        if self.scored is not None and self.scored.shape != self.labels.shape:
            raise ValueError(f"expected scored of shape {self.labels.shape} but got {self.scored.shape}")

    @property
    def learned(self) -> Sequence[int]:
        """How many tasks were learned before each evaluation."""
        tasks = len(self.task_rows)
        return [tasks] if self.joint else range(1, tasks + 1)

    def rows(self, k: int) -> IntArray:
        """The test images of the tasks learned before evaluation k, each once: (n,) int64, ascending."""
        return np.unique(np.concatenate(self.task_rows[: self.learned[k]]))

    def columns(self, k: int) -> list[int]:
        """The classes of the tasks learned before evaluation k, task after task."""
        return [column for classes in self.task_classes[: self.learned[k]] for column in classes]

    def only(self, columns: Sequence[int]) -> "Scores":
        """The same, as though there were these columns alone; a task may be left with none."""
        kept = frozenset(columns)
        return replace(self, task_classes=[[c for c in classes if c in kept] for classes in self.task_classes])

    def at(self, k: int, rows: IntArray, columns: Sequence[int]) -> dict[str, float | int]:
        """Every metric of evaluation k on some images and columns: mAP, those of `f1_scores`, and `classes`, how many
        of the columns have a positive there.

        Raises:
            ValueError: NaN scores, or labels other than 0 and 1.
        """
        labels, scores, scored = self._part(k, rows, columns)
        value, counted = mean_over_classes(average_precision(labels, scores, scored))
        return {"mAP": value, **f1_scores(labels, scores, self.threshold, scored), "classes": counted}

    def class_precision(self, k: int) -> FloatArray:
        """Average precision of every class (C,) over the images of `rows(k)`; NaN for those not yet learned."""
        rows, columns = self.rows(k), self.columns(k)
        values = np.full(self.labels.shape[1], np.nan)
        values[columns] = average_precision(*self._part(k, rows, columns))
        return values

    def positives(self) -> IntArray:
        """How many images show each class (C,), int64, of those whose label counts."""
        labels = self.labels if self.scored is None else self.labels * self.scored
        counted: IntArray = labels.sum(axis=0, dtype=np.int64)
        return counted

    def matrices(self) -> dict[str, FloatArray]:
        """Metric -> (evaluations, T), on each task's own images and columns.

        NaN for tasks that are not yet learned, or have no column.
        """
        found = {name: np.full((len(self.logits), len(self.task_rows)), np.nan) for name in MATRIX}
        for k, tasks in enumerate(self.learned):
            for t in range(tasks):
                if len(self.task_classes[t]):
                    values = self.at(k, self.task_rows[t], self.task_classes[t])
                    for name in MATRIX:
                        found[name][k, t] = values[name]
        return found

    def _part(self, k: int, rows: IntArray, columns: Sequence[int]) -> tuple[LabelArray, ScoreArray, BoolArray | None]:
        """Labels, logits of evaluation k, and which count, of some images and columns."""
        wanted = list(columns)
        scored = None if self.scored is None else self.scored[rows][:, wanted]
        return self.labels[rows][:, wanted], self.logits[k][rows][:, wanted], scored
