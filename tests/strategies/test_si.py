"""`si` against its formula in NumPy and by hand, and against `finetune` where nothing is held."""

from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from learners import batches, enter, learn, make

from clbench import Batch
from clbench.learning.anchored import Anchor
from strategies.si import SI

Arrays = dict[str, npt.NDArray[np.float64]]


def si(scenario: str = "debug", **settings: Any) -> tuple[SI, Any]:
    strategy, prepared = make("si", scenario, **settings)
    assert isinstance(strategy, SI)
    return strategy, prepared


def in_numpy(strategy: SI) -> Arrays:
    return {name: weight.detach().double().numpy().copy() for name, weight in strategy.named_parameters().items()}


def gradient_of(strategy: SI, batch: Batch) -> Arrays:
    """Of the batch's own loss, from a copy of the model as it is."""
    model = deepcopy(strategy.model).train()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch.inputs), batch.labels)
    found = torch.autograd.grad(loss, list(model.parameters()))
    return {
        f"model.{name}": each.double().numpy() for (name, _), each in zip(model.named_parameters(), found, strict=True)
    }


@pytest.mark.parametrize("settings", [{"grad_clip": 1e-3}, {"optimizer": "sgd", "grad_clip": 0.0}])
def test_two_tasks_are_the_definition_in_numpy(settings: dict[str, Any]) -> None:
    strategy, prepared = si(strength=5.0, damping=1e-2, lr=1e-2, **settings)
    importance: Arrays = {name: np.zeros_like(w) for name, w in in_numpy(strategy).items()}
    for task in (0, 1):
        enter(strategy, prepared, task)
        start, path = in_numpy(strategy), {name: np.zeros_like(w) for name, w in importance.items()}
        for batch in batches(strategy, prepared, task):
            gradients, before = gradient_of(strategy, batch), in_numpy(strategy)
            values = strategy.observe(batch)
            expected = 5.0 * sum((importance[n] * (w - start[n]) ** 2).sum() for n, w in before.items())
            assert float(values["penalty"]) == pytest.approx(expected, rel=1e-4)
            for name, now in in_numpy(strategy).items():
                path[name] -= gradients[name] * (now - before[name])
        strategy.after_task(strategy.stage)
        end = in_numpy(strategy)
        for name in importance:
            gained = path[name] / ((end[name] - start[name]) ** 2 + 1e-2)
            importance[name] = np.maximum(importance[name] + gained, 0)
        [(found, weights)] = strategy.anchors
        for name, each in found.items():
            scale = np.abs(importance[name]).max()
            np.testing.assert_allclose(each.numpy(), importance[name], rtol=1e-4, atol=1e-4 * scale)
            assert weights[name].double().numpy().tolist() == end[name].tolist()
    assert sum(each.sum() for each in importance.values()) > 0


def test_a_path_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss w^2 / 2 from w = 2, SGD of rate 0.5: w goes 2, 1, 0.5, so the path is 2 * 1 + 1 * 0.5 over 1.5^2 + xi."""
    strategy, prepared = si(optimizer="sgd", lr=0.5, damping=0.25, strength=2.0, grad_clip=0.0)
    strategy.optimizer = torch.optim.SGD(strategy.parameters(), lr=0.5)
    name = "model.head.classifier.bias_rows.0"
    weight = strategy.named_parameters()[name]
    monkeypatch.setattr(strategy, "loss", lambda batch: (weight**2).sum() / 2)
    weight.data.fill_(2.0)
    enter(strategy, prepared, 0)
    for batch in batches(strategy, prepared, 0)[:2]:
        strategy.observe(batch)
    assert weight.tolist() == [0.5] * len(weight)
    strategy.after_task(strategy.stage)
    [(importance, old)] = strategy.anchors
    assert importance[name].tolist() == [1.0] * len(weight) and old[name].tolist() == [0.5] * len(weight)
    assert all(not each.any() for other, each in importance.items() if other != name)
    enter(strategy, prepared, 1)
    weight.data.fill_(1.0)  # the loss pushes by 1, the penalty by 2 * 2 * 1 * (1 - 0.5) = 2: to 1 - 0.5 * 3
    values = strategy.observe(batches(strategy, prepared, 1)[0])
    assert weight.tolist() == [-0.5] * len(weight)
    assert float(values["penalty"]) == pytest.approx(len(weight) * 2 * 0.25)
    assert strategy.path[name].tolist() == [1.5] * len(weight), "the path is along the loss alone"


def test_the_first_task_is_finetuning() -> None:
    strategy, prepared = si(strength=100.0)
    plain, _ = make("finetune")
    for each in (strategy, plain):
        learn(each, prepared, 0)
    for ours, theirs in zip(strategy.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_importance_is_never_negative() -> None:
    strategy, prepared = si()
    enter(strategy, prepared, 0)
    [(_, start)] = strategy.anchors
    name = "model.head.classifier.bias_rows.0"
    strategy.anchors = [Anchor({name: torch.full_like(start[name], 0.5)}, start)]
    strategy.path[name] -= 1.0
    strategy.after_task(strategy.stage)
    assert (strategy.anchors[0].importance[name] == 0).all()


def test_rows_that_are_new_are_held_from_the_next_task_on() -> None:
    strategy, prepared = si("debug-incremental", lr=1e-2)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    name = "model.head.classifier.bias_rows.1"
    [(importance, start)] = strategy.anchors
    assert name not in importance and name in start and name in strategy.path
    for batch in batches(strategy, prepared, 1):
        strategy.observe(batch)
    strategy.after_task(strategy.stage)
    assert strategy.anchors[0].importance[name].sum() > 0


def test_si_holds_weights_back() -> None:
    moved = []
    for strength in (0.0, 1e4):
        strategy, prepared = si(strength=strength, lr=1e-2)
        learn(strategy, prepared, 0)
        [(importance, old)] = strategy.anchors
        importance = {name: each.clone() for name, each in importance.items()}
        learn(strategy, prepared, 1)
        now = strategy.weights()
        moved.append(sum((f * (now[name] - old[name]) ** 2).sum().item() for name, f in importance.items()))
    assert moved[1] < 0.5 * moved[0]
