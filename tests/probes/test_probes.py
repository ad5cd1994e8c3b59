"""What the contracts carry: small strategies and memories of kinds that the built-in ones are not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench import Strategy, plugins
from clbench.learning.trainer import evaluate, stages_of, stream
from clbench.memory import Memory, Size
from clbench.randomness import generator
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples
from clbench.testing import check_memory, check_strategy

CPU = torch.device("cpu")
STRATEGIES = ("stored-logits", "fresh-optimizer", "own-module", "closed-form", "not-resumable")
MEMORIES = ("balanced-batch", "nearest-mean")


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The two packages of probes, as a stranger's distribution has them."""
    info = tmp_path / "probes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probes\nVersion: 1.0\n")
    groups = {"strategies": "probe_strategies", "memories": "probe_memories"}
    lines = "".join(f"[clbench.{group}]\nprobes = {package}\n" for group, package in groups.items())
    (info / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield


def make(strategy: str, scenario: str = "debug", **chosen: Any) -> tuple[Any, Prepared]:
    config = resolve(scenario, strategy, **chosen)
    prepared = Prepared(config, build_scenario(config))
    return build_strategy(prepared, 0, CPU), prepared


def learn(strategy: Strategy, prepared: Prepared, *tasks: int) -> None:
    options = prepared.config.options["train"]
    for stage in list(stages_of(prepared.scenario, options)):
        if stage.number in tasks:
            strategy.enter(stage)
            for samples in stream(stage.task, stage.number, options, 0):
                strategy.observe(strategy.load(samples))
            strategy.after_task(stage)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_probe_keeps_the_contract(name: str, scenario: str) -> None:
    check_strategy(name, scenario)


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_keeps_the_contract(name: str) -> None:
    check_memory(name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_every_memory_works_under_replay_and_beside_stored_logits(memory: str, scenario: str) -> None:
    check_strategy("er", scenario, memory=memory)
    if memory != "nearest-mean":  # it stores at a task's end, when no logits are at hand
        check_strategy("stored-logits", scenario, memory=memory)


def test_stored_logits_are_those_before_the_step_and_grow_with_the_head() -> None:
    strategy, prepared = make("stored-logits", "debug-incremental", settings={"size": 50})
    options = prepared.config.options["train"]
    first, second, _ = stages_of(prepared.scenario, options)
    strategy.enter(first)
    batch = strategy.load(next(stream(first.task, 0, options, 0)))
    with torch.no_grad():
        before = strategy.model(batch.inputs)  # in training mode, as in the step
    strategy.observe(batch)
    slots = np.arange(len(batch))
    kept = strategy.memory.kept(slots)
    assert torch.equal(kept["logits"], before) and kept["logits"].shape == (len(batch), 2) and kept["there"].all()
    assert strategy.memory_bytes() == len(batch) * (3 * 8 * 8 + 2 * 4 + 2)
    strategy.enter(second)
    kept = strategy.memory.kept(slots)
    assert torch.equal(kept["logits"][:, :2], before) and not kept["there"][:, 2:].any()
    replay = strategy.recall(3)
    assert torch.equal(replay.kept["logits"], kept["logits"][torch.from_numpy(replay.slots)])


def test_an_optimiser_of_its_own_begins_afresh_and_follows_its_schedule() -> None:
    strategy, prepared = make("fresh-optimizer")
    options = prepared.config.options["train"]
    rates = []
    for stage in list(stages_of(prepared.scenario, options))[:2]:
        strategy.enter(stage)
        assert not strategy.optimizer.state, "no momentum of the task before"
        rates.append([strategy.observe(strategy.load(s))["rate"] for s in stream(stage.task, stage.number, options, 0)])
    assert rates[0] == rates[1] and len(set(rates[0])) == len(rates[0])


def test_own_modules_are_evaluated_clipped_counted_and_learned() -> None:
    strategy, prepared = make("own-module", settings={"grad_clip": 1e-3, "lr": 0.1})
    own = {id(p) for p in strategy.opinion.parameters()}
    assert (
        own
        <= {id(p) for p in strategy.parameters()}
        == {id(p) for group in strategy.optimizer.param_groups for p in group["params"]}
    )
    learn(strategy, prepared, 0)
    assert all(p.grad is not None and p.grad.abs().max() <= 1e-3 for p in strategy.opinion.parameters())
    test = prepared.scenario.test_indices()
    once, again = (evaluate(strategy, prepared.scenario, test, 4)[0] for _ in range(2))
    assert np.array_equal(once, again), "dropout must not act in evaluation"
    assert strategy.opinion.training and strategy.model.training
    inputs = strategy.loader.inputs(test)
    assert not torch.equal(strategy.scores(inputs), strategy.scores(inputs)), "dropout acts in training"


@pytest.mark.slow
def test_a_closed_form_on_frozen_maps_is_ridge_regression_over_all_samples() -> None:
    strategy, prepared = make("closed-form")
    learn(strategy, prepared, 0, 1, 2)
    scenario, options = prepared.scenario, prepared.config.options["train"]
    rows = [scenario[0].train, *(s.indices for t in (1, 2) for s in stream(scenario[t], t, options, 0))]
    every = np.concatenate(rows)
    with torch.no_grad(), strategy.evaluating():
        features = strategy.model.feature_map(scenario.images.read(every)).half().float().mean((2, 3)).double().numpy()
    targets = scenario.labels[every].astype(np.float64)
    augmented = np.vstack([features, np.eye(features.shape[1])])  # the ridge, as rows of a plain least-squares problem
    expected = np.linalg.lstsq(augmented, np.vstack([targets, np.zeros((features.shape[1], 6))]), rcond=None)[0]
    np.testing.assert_allclose(strategy.weights().numpy(), expected, rtol=0, atol=1e-8)
    assert strategy.loader.inputs(every[:2]).dtype == torch.float16, "maps are read, not pixels"
    assert strategy.memory_bytes() == strategy.squares.nbytes + strategy.products.nbytes > 0


def test_a_memory_that_decides_over_a_batch_differs_from_one_that_does_not() -> None:
    labels = np.eye(2, dtype=np.uint8)[[0, 0, 0, 1]]
    every = Samples(np.arange(4), labels, np.ones_like(labels, np.bool_))

    def kept(*batches: list[int]) -> list[int]:
        policy = plugins.load("memory", "balanced-batch")
        memory: Memory = policy(policy.Options(size=Size(2)), 2, generator(0))
        for rows in batches:
            memory.update(every.rows(np.array(rows)))
        return [int(index) for index in memory.indices]

    assert kept([0, 1, 2, 3]) == [2, 3]
    assert kept([3], [0, 1, 2]) == [3, 2]


def test_a_memory_asks_only_for_the_cues_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("er", memory="nearest-mean")
    monkeypatch.setattr(type(strategy.memory), "needs", frozenset({"gradients"}))
    with pytest.raises(TypeError, match="NearestMean asks for features, so its `needs` must name them"):
        learn(strategy, prepared, 0)


def test_gradients_as_cues_are_those_of_single_samples() -> None:
    strategy, prepared = make("er", memory="nearest-mean")
    type(strategy.memory).needs = frozenset({"features", "gradients"})
    try:
        strategy.enter(next(stages_of(prepared.scenario, prepared.config.options["train"])))
        samples = prepared.scenario[0].samples.rows(np.arange(3))
        found = strategy._cues().gradients(samples)
    finally:
        type(strategy.memory).needs = frozenset({"features"})
    assert found.shape == (3, sum(p.numel() for p in strategy.parameters()))
    with strategy.evaluating():
        strategy.loss(strategy.load(samples.rows(np.array([1])))).backward()
    expected = torch.cat([p.grad.flatten() for p in strategy.parameters()]).numpy()
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-8)
