"""Avalanche's plugins as strategies, beside Avalanche's own training on the same batches."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from learners import batches, enter, learn, make

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.training.plugins import RWalkPlugin, SynapticIntelligencePlugin
from avalanche_runs import own_training

from clbench.adapters.avalanche import AvalancheStrategy
from clbench.errors import UsageError
from clbench.running.build import Prepared
from clbench.testing.states import same

CLIP = 0.01
SETTINGS: dict[str, dict[str, Any]] = {
    "si": {"strength": 1e6},
    "mas": {"strength": 10.0, "batch_size": 4, "epochs": 2},  # seven images in threes would leave one
    "ewc": {"strength": 1e4},
    "rwalk": {"strength": 10.0, "norm": "group"},
}
"""So that the penalty of a second task is no rounding error; and a backbone that is the same in evaluation."""


def trained(name: str, *tasks: int, **settings: Any) -> tuple[AvalancheStrategy, Prepared]:
    strategy, prepared = make(name, grad_clip=CLIP, **settings)
    assert isinstance(strategy, AvalancheStrategy)
    learn(strategy, prepared, *tasks)
    return strategy, prepared


def weights(one: torch.nn.Module, other: torch.nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Of two models, tensor by tensor."""
    return zip(one.parameters(), other.parameters(), strict=True)


@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
def test_naive_is_finetune(scenario: str) -> None:
    naive, prepared = make("avalanche-naive", scenario)
    plain, _ = make("finetune", scenario)
    for number in (0, 1):
        for strategy in (naive, plain):
            enter(strategy, prepared, number)
        for one, other in zip(batches(naive, prepared, number), batches(plain, prepared, number), strict=True):
            assert torch.equal(
                torch.as_tensor(naive.observe(one)["loss"]), torch.as_tensor(plain.observe(other)["loss"])
            )
        for strategy in (naive, plain):
            strategy.after_task(strategy.stage)
    expected = plain.state()
    assert same({key: naive.state()[key] for key in expected}, expected)


def test_naive_with_a_memory_is_er() -> None:
    naive, prepared = make("avalanche-naive", memory="reservoir")
    er, _ = make("er")
    for strategy in (naive, er):
        learn(strategy, prepared, 0, 1)
    assert all(torch.equal(a, b) for a, b in weights(naive.model, er.model)) and naive.tally.counts == er.tally.counts


def test_a_task_is_avalanches_own_training() -> None:
    naive, prepared = trained("avalanche-naive", 0)
    assert all(torch.equal(a, b) for a, b in weights(naive.model, own_training(prepared, 1)))


@pytest.mark.parametrize("name", SETTINGS)
def test_tasks_are_avalanches_own_training(name: str) -> None:
    strategy, prepared = trained(f"avalanche-{name}", 0, 1, **SETTINGS[name])
    assert all(torch.equal(a, b) for a, b in weights(strategy.model, own_training(prepared, 2, strategy.make_plugin())))
    free, _ = trained(f"avalanche-{name}", 0, 1, **SETTINGS[name] | {"strength": 0.0})
    assert not all(torch.equal(a, b) for a, b in weights(strategy.model, free.model))


def test_gem_is_avalanches_own_training() -> None:
    pytest.importorskip("quadprog", reason="needs quadprog, which is under the GPL")
    settings: dict[str, Any] = {"lr": 0.05, "epochs": 4, "optimizer": "sgd", "norm": "group"}  # eight projections
    strategy, prepared = trained("avalanche-gem", 0, 1, patterns=7, **settings)
    expected = own_training(prepared, 2, strategy.make_plugin())
    for one, other in weights(strategy.model, expected):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)
    naive, _ = trained("avalanche-naive", 0, 1, **settings)
    assert not all(torch.equal(a, b) for a, b in weights(strategy.model, naive.model))


def test_ewc_squares_the_gradients_of_batches() -> None:
    strategy, prepared = trained("avalanche-ewc", 0)
    strategy.model.eval()
    images, labels = prepared.scenario[0].train, torch.tensor(prepared.scenario[0].labels).float()
    parts = [slice(0, 3), slice(3, 6), slice(6, 7)]
    squares: dict[str, torch.Tensor] = {}
    for part in parts:
        logits = strategy.model(prepared.scenario.images.read(images[part]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[part])
        names, weights = zip(*strategy.model.named_parameters(), strict=True)
        for name, gradient in zip(names, torch.autograd.grad(loss, weights), strict=True):
            squares[name] = squares.get(name, 0) + gradient**2 / len(parts)
    for name, kept in strategy.plugin.importances[0].items():
        assert torch.allclose(kept.data, squares[name], rtol=1e-6, atol=1e-12), name


def test_si_sums_up_gradient_times_step() -> None:
    strategy, prepared = make("avalanche-si", grad_clip=CLIP)
    assert isinstance(strategy, AvalancheStrategy)
    enter(strategy, prepared, 0)
    weights = dict(strategy.model.named_parameters())
    start = {name: weight.detach().double() for name, weight in weights.items()}
    path = {name: torch.zeros_like(weight) for name, weight in start.items()}
    for batch in batches(strategy, prepared, 0):
        before = {name: weight.detach().double() for name, weight in weights.items()}
        strategy.observe(batch)
        for name, weight in weights.items():
            assert weight.grad is not None
            path[name] += weight.grad.double() * (weight.detach().double() - before[name])
    strategy.after_task(strategy.stage)
    importances = strategy.plugin.ewc_data[1]
    assert importances and not any("norm" in name for name in importances)
    for name, kept in importances.items():
        moved = weights[name].detach().double() - start[name]
        expected = (-path[name] / (moved**2 + 1e-7)).clamp(max=0.001).flatten()
        assert expected.norm() > 0 and (kept.data - expected).norm() <= 1e-4 * expected.norm(), name


def test_avalanches_own_si_does_nothing_on_a_cpu() -> None:
    """Why `CopyingSI` is there."""
    strategy, prepared = trained("avalanche-si", 0, 1, strength=1e6)
    plugin = SynapticIntelligencePlugin(1e6)
    with pytest.warns(DeprecationWarning, match="__array_wrap__"):
        model = own_training(prepared, 2, plugin)
    assert all(not kept.data.any() for kept in plugin.ewc_data[1].values())
    assert all(torch.equal(a, b) for a, b in weights(model, own_training(prepared, 2)))
    assert not all(torch.equal(a, b) for a, b in weights(model, strategy.model))


def test_avalanches_own_rwalk_leaves_evaluation_on() -> None:
    """Why the model is put back into training."""
    strategy, prepared = trained("avalanche-rwalk", 0)

    def counted(model: torch.nn.Module) -> list[int]:
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        return [int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None]

    assert set(counted(strategy.model)) == {2}
    assert set(counted(own_training(prepared, 1, RWalkPlugin(delta_t=1)))) == {0}


def test_rwalk_asks_for_as_many_steps_as_its_scores_take() -> None:
    strategy, prepared = make("avalanche-rwalk", delta_t=3)
    with pytest.raises(UsageError, match=r"Expected delta_t of at most 2, the steps of task 1, but got 3; .*delta_t=2"):
        enter(strategy, prepared, 0)


def test_mas_takes_no_importance_from_a_single_image() -> None:
    strategy, _ = trained("avalanche-mas", 0)
    assert strategy.template.train_mb_size == 4, "seven images in threes would leave one"
