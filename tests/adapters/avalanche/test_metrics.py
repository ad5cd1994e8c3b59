"""Avalanche's evaluation, scored as clbench scores."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from learners import make
from sklearn.metrics import average_precision_score, f1_score

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.benchmarks.scenarios import split_online_stream
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import BaseLogger
from avalanche.training import Naive
from avalanche.training.plugins import EvaluationPlugin
from avalanche_runs import own_training

from clbench.adapters.avalanche import MultiLabelMetrics, masked_bce, to_avalanche
from clbench.errors import UsageError
from clbench.scenario.tasks import Scenario


def naive(scenario: Scenario, *metrics: Any, columns: int = 6) -> Naive:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, columns))
    return Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=masked_bce,
        train_mb_size=3,
        evaluator=EvaluationPlugin(*metrics, loggers=[BaseLogger()]),
    )


@pytest.fixture
def scenario() -> Scenario:
    return make("finetune")[1].scenario


def test_values_are_scikit_learns_over_what_was_learned() -> None:
    _, prepared = make("finetune")
    metrics = MultiLabelMetrics(prepared.scenario)
    own_training(prepared, 2, metric=metrics)
    learned = prepared.scenario[:2]
    rows = np.concatenate([task.test for task in learned])
    columns = [column for task in learned for column in task.classes]
    truth = prepared.scenario.labels[rows][:, columns]
    scores = metrics.logits[1][: len(rows)][:, columns].astype(np.float64)
    there = truth.any(axis=0)
    assert metrics.result()["mAP"] == pytest.approx(average_precision_score(truth[:, there], scores[:, there]))
    assert metrics.result()["OF1"] == pytest.approx(f1_score(truth, scores > 0, average="micro", zero_division=0))
    assert set(metrics.result()) == {"mAP", "CF1", "OF1", "forgetting"}


def test_avalanche_is_given_the_values_under_their_names(scenario: Scenario) -> None:
    metrics = MultiLabelMetrics(scenario)
    strategy, streams = naive(scenario, metrics), to_avalanche(scenario)
    assert strategy.eval(streams.test_stream) == {}, "nothing is learned yet"
    strategy.train(streams.train_stream[0])  # which evaluates the train stream too
    assert metrics.logits == {} and metrics.result() == {}
    found = strategy.eval(streams.test_stream)
    assert found == {f"{name}/eval_phase/test_stream": value for name, value in metrics.result().items()}
    assert set(metrics.result()) == {"mAP", "CF1", "OF1"}, "a first task has nothing to forget"


def test_what_learning_took_is_noted_task_by_task_in_an_online_stream_too(scenario: Scenario) -> None:
    metrics = MultiLabelMetrics(scenario)
    strategy, streams = naive(scenario, metrics), to_avalanche(scenario)
    for part in split_online_stream(streams.train_stream[:2], experience_size=3, drop_last=True):
        strategy.train(part, eval_streams=[])
    assert {task: (len(each.losses), each.images) for task, each in metrics.learned.items()} == {0: (2, 6), 1: (2, 6)}
    strategy.eval(streams.test_stream)
    assert list(metrics.logits) == [1] and "forgetting" not in metrics.result()


def test_a_part_of_the_test_stream_is_refused(scenario: Scenario) -> None:
    strategy, streams = naive(scenario, MultiLabelMetrics(scenario)), to_avalanche(scenario)
    strategy.train(streams.train_stream[0], eval_streams=[])
    with pytest.raises(UsageError, match="Expected all 3 experiences of the test stream to be evaluated but got 1"):
        strategy.eval(streams.test_stream[0])


def test_more_logits_than_classes_are_refused(scenario: Scenario) -> None:
    strategy, streams = naive(scenario, MultiLabelMetrics(scenario), columns=7), to_avalanche(scenario)
    strategy._criterion = lambda logits, targets: masked_bce(logits[:, :6], targets)
    strategy.train(streams.train_stream[0], eval_streams=[])
    with pytest.raises(UsageError, match=r"Expected logits \(B, C\) with C up to 6 but got shape \(3, 7\)"):
        strategy.eval(streams.test_stream)


@pytest.mark.filterwarnings("ignore:No loggers specified")
def test_accuracy_beside_it_is_refused(scenario: Scenario) -> None:
    strategy = naive(scenario, MultiLabelMetrics(scenario), accuracy_metrics(stream=True))
    with pytest.raises(UsageError, match="Expected no StreamAccuracy with several labels but got one"):
        strategy.train(to_avalanche(scenario).train_stream[0], eval_streams=[])


def test_where_labels_are_not_scored_they_count_nowhere() -> None:
    _, prepared = make("finetune", "debug-incremental")
    from clbench.scenario.views import validation

    scenario = validation(prepared.scenario, 0.4)
    metrics = MultiLabelMetrics(scenario)
    metrics._task = 0
    metrics.logits[0] = np.zeros((len(scenario.test_indices()), scenario.num_classes), np.float32)
    assert scenario.scored is not None and np.isfinite(metrics.result()["mAP"])
    assert metrics._looks_at(SimpleNamespace(origin_stream=SimpleNamespace(name="test")))
