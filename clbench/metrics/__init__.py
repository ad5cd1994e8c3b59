"""Metrics: pure functions on NumPy arrays. No torch."""

from clbench.metrics.forgetting import forgetting_per_task, mean_forgetting
from clbench.metrics.ranking import average_precision, mean_over_classes
from clbench.metrics.scores import Scores
from clbench.metrics.summary import evaluate
from clbench.metrics.thresholded import f1_scores

__all__ = [
    "Scores",
    "average_precision",
    "evaluate",
    "f1_scores",
    "forgetting_per_task",
    "mean_forgetting",
    "mean_over_classes",
]
