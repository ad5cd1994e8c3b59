"""What Avalanche trained stands in a results folder like any other run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from learners import make

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.logging import BaseLogger
from avalanche.models import IncrementalClassifier
from avalanche.training import Naive
from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from avalanche_runs import own_training
from torch import nn

import clbench as api
from clbench.adapters.avalanche import MultiLabelMetrics, masked_bce, record, to_avalanche
from clbench.errors import UsageError
from clbench.report.verify import verify
from clbench.scenario.builder import load_builder
from clbench.scenario.tasks import Scenario
from clbench.store.folder import Run

CommandLine = Callable[..., tuple[int, str, str]]


def trained(scenario: Scenario) -> MultiLabelMetrics:
    """By Avalanche alone: a model whose head grows, and its replay."""
    torch.manual_seed(0)
    metrics = MultiLabelMetrics(scenario)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), IncrementalClassifier(16, masking=False))
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=masked_bce,
        train_mb_size=4,
        plugins=[ReplayPlugin(6, storage_policy=ReservoirSamplingBuffer(6))],
        evaluator=EvaluationPlugin(metrics, loggers=[BaseLogger()]),
    )
    streams = to_avalanche(scenario)
    for experience in streams.train_stream:
        strategy.train(experience, eval_streams=[])
        strategy.eval(streams.test_stream)
    return metrics


@pytest.fixture(scope="module")
def replay() -> MultiLabelMetrics:
    return trained(load_builder("debug-incremental").build())


def test_a_growing_model_of_avalanches_is_reported_compared_and_verified(
    replay: MultiLabelMetrics, clbench: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "results" / "runs"
    for seed in (0, 1):
        run = record(replay, "my-replay", seed=seed, memory_bytes=6 * 192, settings={"mem_size": 6, "lr": 0.1}, out=out)
        assert verify(run).wrong == () and verify(run).recomputed
    api.run("debug-incremental", "finetune", seeds=(0, 1), out=out)
    code, table, _ = clbench("report")
    assert code == 0 and "trained by avalanche-lib 0.6.0, scored by clbench" in " ".join(table.split())
    assert "my-replay (mem_size=6, lr=0.1)" in " ".join(table.split())
    assert clbench("compare", "my-replay", "finetune")[0] == 0
    assert clbench("verify", "results/runs")[0] == 0
    assert clbench("merge", "results/runs", "--out", "elsewhere")[0] == 0
    assert clbench("show", f"{run.config_hash}/seed1")[0] == 0
    assert "Expected interrupted runs below results/runs but found none" in clbench("resume", "results/runs")[2]
    code, _, err = clbench("rerun", "results/runs", "--out", "again", "--strategy", "my-replay")
    assert code == 2 and "Unknown strategy 'my-replay'" in err
    assert clbench("pack", "results/runs", "--out", "all.zip")[0] == 0
    code, cited, err = clbench("cite", "results/runs")
    assert code == 0 and "my-replay" in cited and not err


def test_the_record_says_what_was_seen(replay: MultiLabelMetrics, tmp_path: Path) -> None:
    run = record(replay, "my-replay", seed=3, memory_bytes=5, settings={"lr": 0.1}, out=tmp_path)
    assert (run.scenario, run.strategy, run.seed, run.state) == ("debug-incremental", "my-replay", 3, "done")
    assert run.config["changed"] == {"lr": 0.1} and run.config["trained_by"] == "avalanche-lib 0.6.0"
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert len(steps) == run.metrics["cost"]["steps"] == sum(len(each.losses) for each in replay.learned.values())
    assert run.metrics["cost"]["gradient_images"] > sum(len(task.train) for task in replay.scenario)
    assert run.metrics["cost"]["memory_bytes"] == 5 and len(run.metrics["cost"]["train_seconds"]) == 3
    parameters = 192 * 16 + 16 + 16 * replay.scenario.num_classes + replay.scenario.num_classes
    assert run.metrics["cost"]["parameters"] == parameters
    assert run.metrics["final"]["mAP"] == pytest.approx(replay.result()["mAP"])
    assert run.metrics["final"]["forgetting_mAP"] == pytest.approx(replay.result()["forgetting"])


def test_the_same_training_gives_the_numbers_of_clbench(tmp_path: Path) -> None:
    """Naive with clbench's network and batches beside a run of `finetune`."""
    _, prepared = make("finetune")
    metrics = MultiLabelMetrics(prepared.scenario)
    own_training(prepared, 3, metric=metrics)
    ours = record(metrics, "naive", seed=0, memory_bytes=0, out=tmp_path)
    [theirs] = api.run("debug", "finetune", out=tmp_path)
    for part in ("final", "groups", "overall", "matrix", "ap", "positives"):
        assert ours.metrics[part] == theirs.metrics[part]
    for name in ("steps", "gradient_images", "parameters", "memory_bytes"):
        assert ours.metrics["cost"][name] == theirs.metrics["cost"][name]


def test_nothing_that_is_there_is_written_over(replay: MultiLabelMetrics, tmp_path: Path) -> None:
    first = record(replay, "mine", seed=0, memory_bytes=0, out=tmp_path)
    with pytest.raises(UsageError, match="Expected no run of these settings and this seed"):
        record(replay, "mine", seed=0, memory_bytes=0, out=tmp_path)
    other = record(replay, "mine", seed=0, memory_bytes=0, settings={"lr": 1.0}, out=tmp_path)
    assert other.folder != first.folder and Run(first.folder).state == "done"


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("er", {}, "Expected a name that no strategy of clbench has but got 'er'"),
        ("avalanche-si", {}, "Expected a name that no strategy of clbench has"),
        ("../mine", {}, "Expected a name like my-replay"),
        ("mine", {"lr": [1]}, "Expected settings like {'lr': 0.01} but got 'lr': [1]"),
        ("mine", {"my lr": 1}, "but got 'my lr': 1"),
    ],
)
def test_what_cannot_be_recorded(
    replay: MultiLabelMetrics, tmp_path: Path, name: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError) as raised:
        record(replay, name, seed=0, memory_bytes=0, settings=settings, out=tmp_path)
    assert sentence in str(raised.value) and not list(tmp_path.rglob("*.json"))


def test_an_evaluation_that_is_missing_or_not_finite_is_told(replay: MultiLabelMetrics, tmp_path: Path) -> None:
    copy = MultiLabelMetrics(replay.scenario)
    copy.logits, copy.learned = dict(replay.logits), replay.learned
    copy.logits[1] = copy.logits[1] * float("inf")
    with pytest.raises(UsageError, match="Expected finite logits of every class so far after task 2"):
        record(copy, "mine", seed=0, memory_bytes=0, out=tmp_path)
    del copy.logits[1]
    with pytest.raises(UsageError, match="after each of 3 tasks but there is none after task 2"):
        record(copy, "mine", seed=0, memory_bytes=0, out=tmp_path)
