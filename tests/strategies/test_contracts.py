"""Every discovered strategy and memory, ours or a third party's, keeps the contract."""

from dataclasses import replace

import pytest
import torch

from clbench import Batch, Strategy, plugins
from clbench.errors import UsageError
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.scenario.protocols import IMAGES, MISSING, REPLAY_LABELS
from clbench.scenario.samples import ReplayLabels, Samples
from clbench.testing import check_head, check_hidden_labels, check_memory, check_resumed, check_scenario, check_strategy

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

    def __call__(self, stored: Samples, seen: int) -> Samples:
        labels = self.truth[stored.indices].copy()
        labels[:, seen:] = 0
        return Samples(stored.indices, labels, stored.known)


def test_replay_that_shows_too_much_is_found_out() -> None:
    config = resolve("debug-incremental", "er")
    scenario = build_scenario(config)
    assert scenario.replay is not None
    replay = Lying(scenario.replay.truth, scenario.replay.groups, "negative", "frozen")
    with pytest.raises(AssertionError, match="was shown with the columns"):
        check_hidden_labels(Prepared(config, replace(scenario, replay=replay)))


def test_a_strategy_that_looks_up_the_truth_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Strategy.loss

    def peeking(self: Strategy, batch: Batch) -> torch.Tensor:
        assert self._replay_labels is not None
        truth = self._replay_labels.truth[batch.samples.indices, : batch.labels.shape[1]]
        return plain(self, replace(batch, labels=torch.tensor(truth, dtype=torch.float32)))

    monkeypatch.setattr(Strategy, "loss", peeking)
    config = resolve("debug-incremental", "finetune")
    with pytest.raises(AssertionError, match="a hidden label has changed the strategy"):
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
