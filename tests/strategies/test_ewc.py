"""The Fisher information and the penalty of `ewc`, against the definition."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learners import batches, learn, make

from clbench import Strategy
from clbench.running.build import Prepared
from clbench.scenario.samples import Samples


def per_sample_squares(strategy: Strategy, prepared: Prepared, task: int) -> list[torch.Tensor]:
    """The mean of squared single-sample gradients, straight from the definition."""
    strategy.model.eval()
    weights = list(strategy.model.parameters())
    total = [torch.zeros_like(w) for w in weights]
    rows = prepared.scenario[task].train
    for row in rows:
        images = prepared.scenario.images.read(np.array([row]))
        labels = torch.from_numpy(prepared.scenario.labels[[row]].astype(np.float32))
        probabilities = torch.sigmoid(strategy.model(images))
        likelihood = torch.where(labels > 0, probabilities, 1 - probabilities).log().sum()
        for t, g in zip(total, torch.autograd.grad(likelihood, weights), strict=True):
            t += g**2 / len(rows)
    strategy.model.train()
    return total


@pytest.mark.parametrize(("variant", "decay"), [("sum", 1.0), ("online", 0.5)])
def test_ewc_penalty_is_the_definition(variant: str, decay: float) -> None:
    strategy, prepared = make("ewc", variant=variant, decay=decay, strength=3.0)
    fishers, anchors = [], []
    for task in (0, 1):
        learn(strategy, prepared, task)
        fishers.append(per_sample_squares(strategy, prepared, task))
        anchors.append([w.detach().clone() for w in strategy.model.parameters()])
    learn_batch = batches(strategy, prepared, 2)[0]
    strategy.observe(learn_batch)
    weights = list(strategy.model.parameters())
    if variant == "sum":
        pairs = list(zip(fishers, anchors, strict=True))
    else:
        pairs = [([decay * a + b for a, b in zip(*fishers, strict=True)], anchors[1])]
    expected = sum(
        (f * (w - old) ** 2).sum() for fs, olds in pairs for f, w, old in zip(fs, weights, olds, strict=True)
    )
    penalty: Callable[[], torch.Tensor] = strategy.penalty  # type: ignore[attr-defined]
    torch.testing.assert_close(penalty(), 1.5 * torch.as_tensor(expected), rtol=1e-4, atol=1e-9)


def test_the_fisher_is_not_the_squared_batch_gradient() -> None:
    strategy, prepared = make("ewc")
    learn(strategy, prepared, 0)
    [(fisher, _)] = strategy.anchors  # type: ignore[attr-defined]
    task = prepared.scenario[0]
    batch = strategy.load(Samples(task.train, task.labels, task.known))
    strategy.model.eval()
    loss = F.binary_cross_entropy_with_logits(strategy.model(batch.inputs), batch.labels, reduction="sum") / len(batch)
    squared = torch.cat([g.flatten() ** 2 for g in torch.autograd.grad(loss, list(strategy.model.parameters()))])
    assert F.cosine_similarity(torch.cat([f.flatten() for f in fisher]), squared, dim=0) < 0.95


def test_ewc_holds_weights_back() -> None:
    moved = []
    for strength in (0.0, 1e6):
        strategy, prepared = make("ewc", strength=strength, lr=1e-2)
        learn(strategy, prepared, 0)
        [(fisher, old)] = strategy.anchors  # type: ignore[attr-defined]
        learn(strategy, prepared, 1)
        now = strategy.model.parameters()
        moved.append(sum((f * (w.detach() - o) ** 2).sum().item() for f, w, o in zip(fisher, now, old, strict=True)))
    assert moved[1] < 0.5 * moved[0]
