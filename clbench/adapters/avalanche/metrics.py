"""An Avalanche metric that scores as clbench does, and keeps what a run folder is made of."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from torch import Tensor

from clbench.adapters.avalanche import refused
from clbench.arrays import IntArray, ScoreArray
from clbench.errors import UsageError
from clbench.metrics import Scores, mean_forgetting
from clbench.metrics.scores import MATRIX
from clbench.scenario.tasks import Scenario


@dataclass
class Learned:
    """What learning one task took. losses: of each step, on the device. seconds: of training and of evaluation."""

    losses: list[Tensor] = field(default_factory=list)
    images: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0


class MultiLabelMetrics(PluginMetric[dict[str, float]]):
    """mAP, CF1, OF1 over the classes and test images of the tasks so far, and forgetting of mAP, as fractions.

        metrics = MultiLabelMetrics(scenario)
        evaluator = EvaluationPlugin(metrics, loggers=[InteractiveLogger()])

    They are computed after each `strategy.eval(streams.test_stream)`, all experiences of it. Other streams are not
    looked at, nor is the test stream before a task has been learned.

    logits: task -> (N_test, C) float32 after it, rows as `Scenario.test_indices`; NaN where the head has no column yet.

    Raises:
        UsageError: what is silently wrong with several labels, such as Avalanche's accuracy, is used beside it; a part
            of the test stream alone was evaluated; or logits have another shape than (B, C).
    """

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self.scenario = scenario
        self.logits: dict[int, ScoreArray] = {}
        self.learned: dict[int, Learned] = {}
        self.parameters = 0
        self.device = torch.device("cpu")
        self._task: int | None = None
        self._parts: dict[int, list[Tensor]] = {}
        self._mark = 0.0
        self._rows = _rows(scenario)

    def result(self) -> dict[str, float]:
        """The values of the last evaluation; empty where there is none."""
        if self._task is None or self._task not in self.logits:
            return {}
        last = self._scores([self._task])
        found = last.at(0, last.rows(0), last.columns(0))
        values = {name: float(found[name]) for name in MATRIX}
        known = range(self._task + 1)
        if self._task and all(task in self.logits for task in known):
            values["forgetting"] = mean_forgetting(self._scores(known).matrices()["mAP"])
        return values

    def reset(self) -> None:
        """Nothing: what is kept is the whole run's."""

    def before_training(self, strategy: Any) -> None:
        refused.check_strategy(strategy)

    def before_training_exp(self, strategy: Any) -> None:
        whole = getattr(strategy.experience, "origin_experience", strategy.experience)  # of a part of an online stream
        self._task = int(whole.current_experience)
        self.learned.setdefault(self._task, Learned())
        self._mark = time.perf_counter()

    def after_training_iteration(self, strategy: Any) -> None:
        learned = self._learned()
        learned.losses.append(strategy.loss.detach())
        learned.images += len(strategy.mb_x)

    def after_training_exp(self, strategy: Any) -> None:
        self._learned().train_seconds += time.perf_counter() - self._mark

    def before_eval(self, strategy: Any) -> None:
        refused.check_strategy(strategy)
        self._parts = {}
        self._mark = time.perf_counter()

    def after_eval_iteration(self, strategy: Any) -> None:
        if self._looks_at(strategy.experience):
            logits = strategy.mb_output.detach().float().cpu()
            if logits.ndim != 2 or logits.shape[1] > self.scenario.num_classes:
                raise UsageError(
                    f"Expected logits (B, C) with C up to {self.scenario.num_classes} but got shape "
                    f"{tuple(logits.shape)}; a column is a class of the scenario."
                )
            self._parts.setdefault(strategy.experience.current_experience, []).append(logits)

    def after_eval(self, strategy: Any) -> list[MetricValue]:
        if not self._parts or self._task is None:
            return []
        if len(self._parts) < len(self.scenario):
            raise UsageError(
                f"Expected all {len(self.scenario)} experiences of the test stream to be evaluated but got "
                f"{len(self._parts)}; call strategy.eval(streams.test_stream)."
            )
        self.logits[self._task] = self._gathered()
        self.learned.setdefault(self._task, Learned()).eval_seconds = time.perf_counter() - self._mark
        self.parameters = sum(p.numel() for p in strategy.model.parameters() if p.requires_grad)
        self.device, self._parts = strategy.device, {}
        step = strategy.clock.train_iterations
        return [
            MetricValue(self, f"{name}/eval_phase/test_stream", value, step) for name, value in self.result().items()
        ]

    def _learned(self) -> Learned:
        assert self._task is not None, "Avalanche begins an experience before its first step"
        return self.learned[self._task]

    def _looks_at(self, experience: Any) -> bool:
        return self._task is not None and experience.origin_stream.name == "test"

    def _gathered(self) -> ScoreArray:
        """Logits (N_test, C); an image that tasks share has one row.

        Avalanche adapts a model to what it evaluates, so that a head may have grown for tasks to come.
        """
        scores = np.full((len(self.scenario.test_indices()), self.scenario.num_classes), np.nan, np.float32)
        for task, parts in self._parts.items():
            logits = torch.cat(parts).numpy()
            scores[self._rows[task], : logits.shape[1]] = logits
        if self.scenario.growing and self._task is not None:
            scores[:, 1 + max(self.scenario[self._task].classes) :] = np.nan
        return scores

    def _scores(self, evaluations: Sequence[int]) -> Scores:
        """Of the tasks up to the last of some evaluations: of each task, or of the last alone."""
        scenario, tasks = self.scenario, evaluations[-1] + 1
        test = scenario.test_indices()
        return Scores(
            logits=[self.logits[task] for task in evaluations],
            labels=scenario.tested(test),
            task_rows=self._rows[:tasks],
            task_classes=[task.classes for task in scenario[:tasks]],
            threshold=float(scenario.protocol.get("threshold", 0.5)),
            joint=len(evaluations) < tasks,
            scored=None if scenario.scored is None else scenario.scored[test],
        )


def _rows(scenario: Scenario) -> list[IntArray]:
    """Of each task the rows of its test images among `Scenario.test_indices`."""
    place = {int(index): row for row, index in enumerate(scenario.test_indices())}
    return [np.array([place[int(index)] for index in task.test], np.int64) for task in scenario]
