"""What every strategy has from its base: parameters, steps, replay, freezing, state."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clbench import Batch, Setup, Strategy, plugins
from clbench.learning import strategy as module
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples
from clbench.testing import check_strategy

CPU = torch.device("cpu")


def make(strategy: str = "er", scenario: str = "debug", **settings: Any) -> tuple[Strategy, Prepared]:
    config = resolve(scenario, strategy, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    return build_strategy(prepared, 0, CPU), prepared


def enter(strategy: Strategy, prepared: Prepared, task: int = 0) -> None:
    strategy.enter(list(stages_of(prepared.scenario, prepared.config.options["train"]))[task])


def first_batch(strategy: Strategy, prepared: Prepared, task: int = 0) -> Batch:
    return strategy.load(next(stream(prepared.scenario[task], task, prepared.config.options["train"], 0)))


def as_setup(prepared: Prepared) -> Setup:
    return build_strategy(prepared, 0, CPU)._setup


def noted(done: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*arguments: Any) -> Any:
        done.append(name)
        return call(*arguments)

    return noting


class Two(Strategy):
    """With a module of its own."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.own = nn.Linear(2, 3)
        self.fixed = nn.Linear(2, 3).requires_grad_(False)

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "own": self.own, "fixed": self.fixed}


def test_parameters_are_the_trainable_ones_of_every_module_and_the_optimiser_has_them() -> None:
    two = Two(as_setup(make()[1]))
    expected = [*two.model.parameters(), *two.own.parameters()]
    assert [id(p) for p in two.parameters()] == [id(p) for p in expected]
    assert [id(p) for p in two.optimizer.param_groups[0]["params"]] == [id(p) for p in expected]


def test_modes_reach_every_module_and_come_back() -> None:
    two = Two(as_setup(make()[1]))
    two.train()
    with two.evaluating():
        assert not any(module.training for module in two.modules().values())
    assert all(module.training for module in two.modules().values())
    with pytest.raises(RuntimeError, match="planted"), two.evaluating():
        raise RuntimeError("planted")
    assert two.model.training


def test_a_step_clips_the_gradients_of_every_module_by_value() -> None:
    two = Two(as_setup(make(grad_clip=0.125)[1]))
    two.step(1e6 * torch.stack([p.sum() for p in two.parameters()]).sum())
    assert all(p.grad is not None and p.grad.abs().max() == 0.125 for p in two.parameters())
    assert two.fixed.weight.grad is None


def test_apply_takes_the_gradients_that_are_there() -> None:
    two = Two(as_setup(make(optimizer="sgd", lr=0.5, grad_clip=0.0)[1]))
    before = two.own.weight.detach().clone()
    two.own.weight.grad = torch.full_like(before, 2.0)
    two.apply()
    torch.testing.assert_close(two.own.weight.detach(), before - 1.0)


def test_observe_is_recall_losses_step_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make(size=20)
    enter(strategy, prepared)
    done: list[str] = []
    for name in ("recall", "losses", "step", "remember"):
        monkeypatch.setattr(strategy, name, noted(done, name, getattr(strategy, name)))
    values = strategy.observe(first_batch(strategy, prepared))
    assert done == ["recall", "losses", "step", "remember"]
    assert set(values) == {"loss"} and isinstance(values["loss"], torch.Tensor) and not values["loss"].requires_grad


def test_the_step_is_on_the_sum_of_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("finetune")
    enter(strategy, prepared)
    batch = first_batch(strategy, prepared)
    stepped: list[torch.Tensor] = []
    three = {"loss": torch.tensor(1.0), "a": torch.tensor(2.0), "b": torch.tensor(4.0)}
    monkeypatch.setattr(strategy, "losses", lambda batch, replay: three)
    monkeypatch.setattr(strategy, "step", stepped.append)
    assert strategy.observe(batch) == three and [float(loss) for loss in stepped] == [7.0]


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [7]), (3, [3, 3, 1]), (1, [1] * 7)])
def test_over_gives_the_samples_in_their_order(batch_size: int | None, sizes: list[int]) -> None:
    strategy, prepared = make()
    samples = prepared.scenario[1].samples
    batches = list(strategy.over(samples, batch_size))
    assert [len(batch) for batch in batches] == sizes
    assert np.concatenate([batch.samples.indices for batch in batches]).tolist() == samples.indices.tolist()
    assert torch.equal(torch.cat([b.inputs for b in batches]), prepared.scenario.images.read(samples.indices))


def test_what_is_kept_beside_a_sample_comes_back_with_it() -> None:
    strategy, prepared = make(size=20)
    enter(strategy, prepared)
    assert strategy.memory is not None and strategy.recall(3) is None
    strategy.memory.keep("number", (), torch.int64, CPU)
    batch = first_batch(strategy, prepared)
    strategy.remember(batch, number=torch.from_numpy(batch.samples.indices))
    replay = strategy.recall(2)
    assert replay is not None and len(replay) == 2
    assert replay.kept["number"].tolist() == replay.samples.indices.tolist()
    assert strategy.memory.indices[replay.slots].tolist() == replay.samples.indices.tolist()
    assert strategy.memory_bytes() == len(batch) * (3 * 8 * 8 + 8)


def test_what_is_replayed_says_what_the_protocol_says_now() -> None:
    strategy, prepared = make(size=20)
    enter(strategy, prepared)
    strategy.remember(first_batch(strategy, prepared))

    class Hidden:
        def __call__(self, stored: Samples) -> Samples:
            return replace(stored, known=np.zeros_like(stored.known))

    stored = strategy.recall(3)
    assert stored is not None and stored.samples.known.any()
    strategy.stage = replace(strategy.stage, replay=Hidden())  # type: ignore[arg-type]
    replay = strategy.recall(3)
    assert replay is not None and len(replay) == 3 and not replay.samples.known.any()


def test_gradients_are_those_of_each_sample_alone_in_evaluation() -> None:
    strategy, prepared = make()
    enter(strategy, prepared)
    samples = prepared.scenario[0].samples
    found = list(strategy.gradients(samples, strategy.loss))
    assert len(found) == len(samples) and strategy.model.training
    with strategy.evaluating():
        one = strategy.load(samples.rows(np.array([4])))
        expected = torch.autograd.grad(strategy.loss(one), strategy.parameters())
    assert all(torch.equal(mine, plain) for mine, plain in zip(found[4], expected, strict=True))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_a_mean_gradient_is_the_mean_of_the_samples_own_whatever_is_hidden(reduction: str, freeze: str) -> None:
    settings = {"reduction": reduction, "freeze": freeze, "eval_batch_size": 4}
    config = resolve("debug", "er", memory="gss", settings=settings)
    prepared = Prepared(config, build_scenario(config))
    strategy = build_strategy(prepared, 0, CPU)
    enter(strategy, prepared)
    plain, cues = prepared.scenario[0].samples.rows(np.arange(11) % 7), strategy._cues()
    assert cues is not None
    known = np.random.default_rng(0).random(plain.known.shape) < np.linspace(0, 1, 11)[:, None]
    assert len(set(known.sum(1))) > 3 and not known[0].any()
    for samples in (plain, replace(plain, known=known)):
        own = cues.gradients(samples).astype(np.float64).mean(axis=0, keepdims=True)
        mean = cues.gradients(samples, mean=True)
        assert np.linalg.norm(mean - own) <= 1e-6 * np.linalg.norm(own) and strategy.model.training


def test_a_frozen_backbone_is_read_as_maps_and_its_optimiser_begins_afresh() -> None:
    strategy, prepared = make()
    enter(strategy, prepared)
    strategy.observe(first_batch(strategy, prepared))
    before = strategy.optimizer
    inputs = strategy.loader.inputs(np.array([0, 3]))
    strategy.freeze()
    maps = strategy.loader.inputs(np.array([0, 3]))
    assert maps.dtype == torch.float16 and strategy.model.frozen and strategy.state()["frozen"]
    with torch.no_grad():
        torch.testing.assert_close(maps.float(), strategy.model.feature_map(inputs), rtol=1e-3, atol=1e-3)
    assert strategy.optimizer is not before and not strategy.optimizer.state
    head = [id(p) for p in strategy.model.head.parameters()]
    assert [id(p) for p in strategy.parameters()] == head
    again = build_strategy(prepared, 0, CPU)
    again.load_state(strategy.state())
    assert again.model.frozen and torch.equal(again.loader.inputs(np.array([0, 3])), maps)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_old_rows_move_as_if_nothing_had_grown_and_new_ones_as_a_parameter_that_begins(
    optimizer: str, weight_decay: float
) -> None:
    settings = {"optimizer": optimizer, "weight_decay": weight_decay, "lr": 0.1, "grad_clip": 1.0}
    strategy, prepared = make("finetune", "debug-incremental", **settings)
    classifier = strategy.model.head.classifier
    alone: list[tuple[nn.Parameter, torch.optim.Optimizer]] = []
    given = torch.randn(12, 6, classifier.weight.shape[1], generator=torch.Generator().manual_seed(0))
    for number, gradient in enumerate(given):
        if number % 4 == 0:
            enter(strategy, prepared, number // 4)
            row = nn.Parameter(classifier.weight.detach()[-2:].clone())
            alone.append((row, strategy.new_optimizer([row])))
        strategy.step((classifier.weight * gradient[: strategy.model.head.num_classes]).sum())
        for (row, own), part in zip(alone, gradient.split(2), strict=False):
            row.grad = part.clamp(-1, 1)
            own.step()
        assert torch.equal(classifier.weight, torch.cat([row for row, _ in alone])), number


@pytest.mark.parametrize(
    ("strategy", "settings"), [("finetune", {}), ("dlfl", {}), ("dlfl", {"head.freeze_queries": True})]
)
def test_a_grown_head_comes_back_block_by_block_with_its_moments(strategy: str, settings: dict[str, Any]) -> None:
    going, prepared = make(strategy, "debug-incremental", **settings)
    for task in range(3):
        enter(going, prepared, task)
        going.observe(first_batch(going, prepared, task))
    again = build_strategy(prepared, 0, CPU)
    assert again.model.head.num_classes == 2
    again.load_state(going.state())
    assert [len(block) for block in again.model.head.classifier.weight_rows.blocks] == [2, 2, 2]
    assert again.named_parameters().keys() == going.named_parameters().keys()
    for mine, theirs in zip(going.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        moments, loaded = going.optimizer.state[mine], again.optimizer.state[theirs]
        assert moments.keys() == loaded.keys() and all(torch.equal(moments[key], loaded[key]) for key in moments)


def test_frozen_queries_of_old_tasks_stay_and_the_optimiser_lets_go_of_them() -> None:
    settings = {"head.freeze_queries": True, "weight_decay": 0.1, "lr": 0.1}
    strategy, prepared = make("dlfl", "debug-incremental", **settings)
    enter(strategy, prepared)
    strategy.observe(first_batch(strategy, prepared))
    [first] = strategy.model.head.get_submodule("query_rows").parameters()
    enter(strategy, prepared, 1)
    before = first.detach().clone()
    strategy.observe(first_batch(strategy, prepared, 1))
    assert torch.equal(first, before) and first not in strategy.optimizer.state
    held = [p for group in strategy.optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(p) for p in strategy.parameters()]
    assert "model.head.query_rows.1" in strategy.named_parameters()


def test_new_rows_of_a_growing_head_depend_on_seed_and_columns_alone() -> None:
    one, prepared = make("finetune", "debug-incremental")
    other, _ = make("finetune", "debug-incremental", lr=0.5)
    enter(one, prepared)
    one.observe(first_batch(one, prepared))
    for strategy in (one, other):
        enter(strategy, prepared, 1)
    assert torch.equal(one.model.head.classifier.weight[2:], other.model.head.classifier.weight[2:])


def test_a_growing_scenario_tells_a_memory_only_of_the_columns_so_far() -> None:
    strategy, prepared = make("er", "debug-incremental")
    assert strategy.memory is not None
    widths = []
    for task in range(3):
        enter(strategy, prepared, task)
        strategy.observe(first_batch(strategy, prepared, task))
        widths.append((strategy.memory.columns, strategy.memory.introduced, strategy.memory.labels.shape[1]))
    assert widths == [(2, 2, 2), (4, 4, 4), (6, 6, 6)]


def test_a_task_that_was_begun_is_not_begun_again() -> None:
    strategy, prepared = make("er", "debug-incremental")
    stage = list(stages_of(prepared.scenario, prepared.config.options["train"]))[1]
    strategy.enter(stage, fresh=False)
    assert strategy.stage is stage and strategy.model.head.num_classes == 2
    assert strategy.memory is not None and strategy.memory.introduced == 0


def test_loaded_samples_have_the_columns_of_the_head() -> None:
    strategy, prepared = make("finetune", "debug-incremental")
    enter(strategy, prepared)
    task = prepared.scenario[0]
    batch = strategy.load(Samples(task.train, task.labels, task.known))
    assert batch.labels.shape == batch.samples.labels.shape == (len(task.train), 2)


@pytest.mark.slow
def test_the_example_of_the_docstring_obeys_the_contract(tmp_path: Path) -> None:
    text = inspect.cleandoc(module.__doc__ or "").partition("\n\n    ")[2].partition("\n\nA strategy never")[0]
    (tmp_path / "weighted_replay.py").write_text(textwrap.dedent(f"    {text}\n"))
    plugins.read_anew()
    for scenario in ("debug", "debug-incremental"):
        check_strategy(str(tmp_path / "weighted_replay.py"), scenario)
    plugins.read_anew()
