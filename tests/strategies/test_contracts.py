"""Every discovered strategy and memory, ours or a third party's, keeps the contract."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch

from clbench import Batch, Scenario, Strategy, plugins
from clbench.arrays import IntArray
from clbench.errors import UsageError
from clbench.learning import stage, trainer
from clbench.learning.stage import Stage
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.protocols import IMAGES, MISSING, REPLAY_LABELS
from clbench.scenario.samples import ReplayLabels, Samples
from clbench.testing import (
    check_head,
    check_hidden_labels,
    check_memory,
    check_resumed,
    check_scenario,
    check_strategy,
    peeking,
)

STRATEGIES = sorted(plugins.available("strategy"))
MEMORIES = sorted(plugins.available("memory"))


@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy(name: str, scenario: str) -> None:
    check_strategy(name, scenario)


@pytest.mark.parametrize("replay", REPLAY_LABELS)
@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("images", IMAGES)
def test_no_axis_shows_a_hidden_label(images: str, missing: str, replay: str) -> None:
    axes = {"images": images, "missing": missing, "replay_labels": replay, "eval_images": "all"}
    for name in STRATEGIES:
        config = resolve("debug-incremental", name, settings=axes)
        scenario = build_scenario(config)
        check_scenario(scenario)
        if not plugins.load("strategy", name).joint:
            check_hidden_labels(Prepared(config, scenario))


class Lying(ReplayLabels):
    """Says that labels stay as they were stored, and shows all of them."""

    def revealed(self, trained: Sequence[IntArray]) -> ReplayLabels:
        return self

    def __call__(self, stored: Samples) -> Samples:
        return replace(stored, labels=self.truth[stored.indices, : stored.labels.shape[1]])


def test_replay_that_shows_too_much_is_found_out() -> None:
    config = resolve("debug-incremental", "er")
    scenario = build_scenario(config)
    assert scenario.replay is not None
    replay = Lying(scenario.replay.truth, scenario.replay.groups, "negative", "frozen")
    with pytest.raises(AssertionError, match="was shown with the columns"):
        check_hidden_labels(Prepared(config, replace(scenario, replay=replay)))


def shown_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the stage gave the whole truth."""
    monkeypatch.setattr(ReplayLabels, "revealed", lambda self, trained: self)


def test_a_strategy_that_looks_up_the_truth_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Strategy.loss

    def with_truth(self: Strategy, batch: Batch) -> torch.Tensor:
        assert self.stage.replay is not None
        truth = self.stage.replay.truth[batch.samples.indices, : batch.labels.shape[1]]
        return plain(self, replace(batch, labels=torch.tensor(truth, dtype=torch.float32)))

    shown_everything(monkeypatch)
    monkeypatch.setattr(Strategy, "loss", with_truth)
    config = resolve("debug-incremental", "finetune")
    with pytest.raises(AssertionError, match="a hidden label has changed the strategy"):
        check_hidden_labels(Prepared(config, build_scenario(config)))


def reach_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = stage.stages

    def with_test(scenario: Scenario, steps: list[int]) -> Iterator[Stage]:
        for each, task in zip(plain(scenario, steps), scenario, strict=True):
            yield replace(each, task=task)

    monkeypatch.setattr(trainer, "stages", with_test)


@pytest.mark.parametrize(
    ("plant", "scenario", "sentence"),
    [
        (shown_everything, "debug-incremental", "depends on hidden labels"),
        (reach_the_test_images, "debug", "must not reach a task's test images"),
    ],
)
def test_what_a_strategy_must_not_reach_is_found_out(
    plant: Callable[[pytest.MonkeyPatch], None], scenario: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = resolve(scenario, "er")
    prepared = Prepared(config, build_scenario(config))
    check_hidden_labels(prepared)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=sentence):
        check_hidden_labels(prepared)


def test_a_closure_over_the_scenario_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("debug", "er")

    def with_closure(prepared: Prepared, seed: int, device: torch.device) -> Strategy:
        strategy = build_strategy(prepared, seed, device)
        criterion, scenario = strategy.criterion, prepared.scenario
        strategy.criterion = lambda logits, labels, known: criterion(logits, labels, known) + 0 * len(scenario)
        return strategy

    monkeypatch.setattr(peeking, "build_strategy", with_closure)
    with pytest.raises(AssertionError, match="depends on hidden labels"):
        check_hidden_labels(Prepared(config, build_scenario(config)))


@pytest.mark.parametrize("name", sorted(plugins.available("head")))
def test_head(name: str) -> None:
    check_head(name)


@pytest.mark.parametrize("name", MEMORIES)
def test_memory(name: str) -> None:
    check_memory(name)


@pytest.mark.parametrize("head", sorted(plugins.available("head")))
@pytest.mark.parametrize("memory", [None, *MEMORIES])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_combination_runs_or_is_refused_with_its_reason(name: str, memory: str | None, head: str) -> None:
    try:
        config = resolve("debug", name, memory=memory, head=head)
    except UsageError as error:
        assert "--strategy" in str(error) or "--memory" in str(error)
        return
    check_resumed(Prepared(config, build_scenario(config)))


def test_a_strategy_that_forgets_its_state_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lwf = plugins.load("strategy", "lwf")
    monkeypatch.setattr(lwf, "load_state", Strategy.load_state)  # leaves the teacher out
    config = resolve("debug", "lwf")
    with pytest.raises(AssertionError, match="state must hold all that learning changes"):
        check_resumed(Prepared(config, build_scenario(config)))
