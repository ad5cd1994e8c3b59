"""Whatever way a hidden label could come in is found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from clbench import Batch, Scenario, Strategy
from clbench.arrays import IntArray
from clbench.learning import stage, trainer
from clbench.learning.stage import Stage
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import ReplayLabels, Samples
from clbench.testing import check_hidden_labels, peeking
from clbench.testing.peeking import reachable


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


def test_a_strategy_that_trains_on_test_labels_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would take: to be handed them. Its setup, its loader and its stage have none."""
    config = resolve("debug", "finetune")
    plain = Strategy.before_task

    def cheat(self: Strategy, given: Stage) -> None:
        plain(self, given)
        for thing in reachable(self):
            if isinstance(thing, Scenario):
                test = thing.test_indices()
                self.observe(self.load(Samples(test, thing.labels[test], np.ones_like(thing.labels[test], np.bool_))))

    monkeypatch.setattr(Strategy, "before_task", cheat)
    prepared = Prepared(config, build_scenario(config))
    check_hidden_labels(prepared)  # it finds nothing to cheat with

    def handing_it_over(prepared: Prepared, seed: int, device: torch.device) -> Strategy:
        strategy = build_strategy(prepared, seed, device)
        strategy.scenario = prepared.scenario  # type: ignore[attr-defined]
        return strategy

    monkeypatch.setattr(peeking, "build_strategy", handing_it_over)
    with pytest.raises(AssertionError, match="was shown with|a hidden label has changed the strategy"):
        check_hidden_labels(prepared)


class Slotted:
    __slots__ = ("kept",)

    def __init__(self, kept: object) -> None:
        self.kept = kept


def test_references_of_every_kind_are_followed_and_shared_ones_are_not() -> None:
    secret = np.arange(3)

    def closure() -> object:
        return secret

    class Bound:
        def __init__(self) -> None:
            self.hidden = secret

        def method(self) -> None: ...

    def default(given: object = secret) -> None: ...

    ways = [
        closure,
        Bound().method,
        default,
        partial(print, secret),
        Slotted(secret),
        {"a": [(secret,)]},
        iter([secret]),
    ]
    for way in ways:
        assert any(thing is secret for thing in reachable(way)), way
    assert not any(thing is np for thing in reachable(lambda: np.zeros(1)))
