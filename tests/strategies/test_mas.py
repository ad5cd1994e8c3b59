"""The importance and the penalty of `mas`, against autograd and in closed form."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from learners import batches, enter, learn, make

from strategies.mas import MAS


def mas(scenario: str = "debug", **settings: Any) -> tuple[MAS, Any]:
    strategy, prepared = make("mas", scenario, **settings)
    assert isinstance(strategy, MAS)
    return strategy, prepared


def flat(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([each.flatten() for each in weights.values()])


def by_autograd(strategy: MAS, prepared: Any, task: int, columns: list[int]) -> torch.Tensor:
    """Flat; straight from the definition, image by image."""
    strategy.model.eval()
    weights, rows = list(strategy.model.parameters()), prepared.scenario[task].train
    total = [torch.zeros_like(weight) for weight in weights]
    for row in rows:
        strategy.model.zero_grad()
        logits = strategy.model(prepared.scenario.images.read(np.array([row])))
        (torch.linalg.vector_norm(logits[0, columns]) ** 2).backward()
        for each, weight in zip(total, weights, strict=True):
            assert weight.grad is not None
            each += weight.grad.abs() / len(rows)
    strategy.model.zero_grad()
    strategy.model.train()
    return torch.cat([each.flatten() for each in total])


def test_importance_is_the_mean_over_single_images_and_adds_up() -> None:
    strategy, prepared = mas()
    total: torch.Tensor | float = 0.0
    for task in (0, 1):
        learn(strategy, prepared, task)
        columns = sorted(strategy.stage.seen)
        total = total + by_autograd(strategy, prepared, task, columns)
        [(importance, weights)] = strategy.anchors
        torch.testing.assert_close(flat(importance), torch.as_tensor(total), rtol=1e-5, atol=1e-8)
        assert torch.equal(flat(weights), flat(strategy.weights()))
    assert 0 < len(columns) < strategy.model.head.num_classes


def test_importance_of_a_linear_head_in_closed_form() -> None:
    """The gradient of |z|^2 is 2 z_c f for the weights of column c, and 2 z_c for its bias; both in absolute value."""
    strategy, prepared = mas(freeze="backbone")
    learn(strategy, prepared, 0)
    samples, seen = prepared.scenario[0].samples, list(strategy.stage.seen)
    with torch.no_grad(), strategy.evaluating():
        batch = strategy.load(samples)
        features, logits = strategy.model.map_of(batch.inputs).mean((2, 3)), strategy.model(batch.inputs)
    expected = torch.zeros(logits.shape[1], features.shape[1] + 1)
    together = torch.cat([features, torch.ones(len(features), 1)], 1).abs()
    expected[seen] = 2 * logits[:, seen].abs().T @ together / len(features)
    [(importance, _)] = strategy.anchors
    found = torch.cat(
        [
            importance["model.head.classifier.weight_rows.0"],
            importance["model.head.classifier.bias_rows.0"][:, None],
        ],
        dim=1,
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    assert len(seen) < len(expected)


def test_importance_asks_for_no_label() -> None:
    strategy, prepared = mas()
    enter(strategy, prepared, 0)
    task = strategy.stage.task
    hidden = replace(task, labels=1 - task.labels, known=np.zeros_like(task.known))
    found = [flat(strategy.importance(replace(strategy.stage, task=each))) for each in (task, hidden)]
    assert torch.equal(*found) and found[0].any()


def test_importance_is_of_as_many_images_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = mas(samples=3)
    enter(strategy, prepared, 0)
    asked, gradients = [], strategy.gradients
    monkeypatch.setattr(strategy, "gradients", lambda samples, loss: asked.append(samples) or gradients(samples, loss))  # type: ignore[func-returns-value]
    strategy.importance(strategy.stage)
    [samples] = asked
    assert len(set(samples.indices.tolist())) == 3 and set(samples.indices) <= set(prepared.scenario[0].train)


def test_the_penalty_is_the_definition() -> None:
    strategy, prepared = mas(strength=3.0)
    learn(strategy, prepared, 0)
    [(importance, old)] = strategy.anchors
    enter(strategy, prepared, 1)
    first, second = batches(strategy, prepared, 1)[:2]
    assert float(strategy.observe(first)["penalty"]) == 0
    now = strategy.weights()
    expected = 3.0 * sum((f * (now[name] - old[name]) ** 2).sum().item() for name, f in importance.items())
    assert float(strategy.observe(second)["penalty"]) == pytest.approx(expected, rel=1e-5) and expected > 0


def test_rows_that_are_new_have_no_importance() -> None:
    strategy, prepared = mas("debug-incremental")
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    blocks = strategy.model.head.classifier.bias_rows.blocks
    before = strategy.distance().item()
    blocks[1].data += 1.0
    assert strategy.distance().item() == before
    blocks[0].data += 1.0
    assert strategy.distance().item() > before
    for batch in batches(strategy, prepared, 1):
        strategy.observe(batch)
    strategy.after_task(strategy.stage)
    assert strategy.anchors[0].importance["model.head.classifier.bias_rows.1"].sum() > 0


def test_mas_holds_weights_back() -> None:
    moved = []
    for strength in (0.0, 1e4):
        strategy, prepared = mas(strength=strength, lr=1e-2)
        learn(strategy, prepared, 0)
        [(importance, old)] = strategy.anchors
        learn(strategy, prepared, 1)
        now = strategy.weights()
        moved.append(sum((f * (now[name] - old[name]) ** 2).sum().item() for name, f in importance.items()))
    assert moved[1] < 0.5 * moved[0]
