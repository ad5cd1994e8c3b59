"""`agem` against its formula in NumPy, and against `finetune` where nothing conflicts."""

from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from learners import batches, enter, learn, make
from torch import Tensor

from clbench import Batch, Strategy
from clbench.learning.batch import Replay
from strategies.agem import project


def second_task(monkeypatch: pytest.MonkeyPatch, *, conflict: bool, **settings: Any) -> tuple[Strategy, Batch, Replay]:
    """Before a step of the second task, and what will be drawn from the memory in it.

    What is drawn is the new batch itself, with its labels turned round where there is to be a conflict; PyTorch's
    gradients then oppose one another.
    """
    strategy, prepared = make("agem", **settings)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    new = batches(strategy, prepared, 1)[0]
    drawn = strategy.recall(3)
    assert drawn is not None
    if conflict:
        drawn = Replay(new.inputs, 1 - new.labels, new.known, new.samples, np.arange(3))
    else:
        drawn = Replay(new.inputs, new.labels, new.known, new.samples, np.arange(3))
    monkeypatch.setattr(strategy, "recall", lambda new: drawn)
    return strategy, new, drawn


def flat(tensors: Any) -> npt.NDArray[np.float64]:
    return np.concatenate([t.detach().double().numpy().ravel() for t in tensors])


def gradients(model: torch.nn.Module, batch: Batch) -> npt.NDArray[np.float64]:
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch.inputs), batch.labels)
    return flat(torch.autograd.grad(loss, list(model.parameters())))


def in_numpy(gradient: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    along = np.dot(gradient, reference)
    return gradient if along >= 0 else gradient - along / np.dot(reference, reference) * reference


@pytest.mark.parametrize("clip", [0.0, 1e-3])
@pytest.mark.parametrize("conflict", [True, False])
def test_a_step_is_the_projection_in_numpy(conflict: bool, clip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, new, drawn = second_task(monkeypatch, conflict=conflict, grad_clip=clip, optimizer="sgd", lr=0.1)
    strategy.optimizer = torch.optim.SGD(strategy.parameters(), lr=0.1)
    model = deepcopy(strategy.model).train()
    reference, gradient = (gradients(model, batch) for batch in (drawn, new))
    assert (np.dot(gradient, reference) < 0) == conflict
    expected = in_numpy(gradient, reference)
    if clip:
        assert np.abs(expected).max() > clip
        expected = expected.clip(-clip, clip)
    before = flat(strategy.parameters())
    values = strategy.observe(new)
    np.testing.assert_allclose(flat(strategy.parameters()), before - 0.1 * expected, rtol=0, atol=1e-6)
    assert float(values["projected"]) == conflict
    for name, buffer in model.named_buffers():  # batch normalisation has seen the memory first
        torch.testing.assert_close(strategy.model.get_buffer(name), buffer)


def test_what_is_left_does_not_oppose_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, new, drawn = second_task(monkeypatch, conflict=True, grad_clip=0.0)
    reference = gradients(deepcopy(strategy.model).train(), drawn)
    strategy.observe(new)
    left = flat(parameter.grad for parameter in strategy.parameters())
    cosines = [left @ reference / np.linalg.norm(left) / np.linalg.norm(reference)]
    rng = torch.Generator().manual_seed(0)
    for scale in (1e-12, 1e-3, 1.0, 1e6):
        g, r = torch.randn(2, 100_000, generator=rng)
        g = scale * (g - 0.1 * r)
        found, opposed = project(g, r)
        assert opposed and found.isfinite().all()
        cosines.append(float(found.double() @ r.double() / found.double().norm() / r.double().norm()))
    assert min(cosines) >= -1e-6


def test_a_projection_worked_by_hand() -> None:
    g, r = torch.tensor([3.0, -4.0]), torch.tensor([0.0, 2.0])
    found, opposed = project(g, r)
    assert found.tolist() == [3.0, 0.0] and opposed
    found, opposed = project(g, -r)
    assert found.tolist() == [3.0, -4.0] and not opposed
    found, opposed = project(g, torch.zeros(2))
    assert found.tolist() == [3.0, -4.0] and not opposed


def test_without_a_conflict_it_is_finetuning(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("agem")
    plain, _ = make("finetune")
    recall, drawn = strategy.recall, []
    monkeypatch.setattr(strategy, "recall", lambda new: drawn.append(new) or recall(new))  # type: ignore[func-returns-value]
    for each in (strategy, plain):
        learn(each, prepared, 0)
    assert not drawn
    for each in (strategy, plain):
        enter(each, prepared, 1)
    batch = batches(strategy, prepared, 1)[0]
    monkeypatch.setattr(strategy, "recall", lambda new: Replay(**vars(batch), slots=np.arange(3)))
    plain.model(batch.inputs)  # batch normalisation takes its statistics from the reference too
    projected = [float(each.observe(batch).get("projected", 0.0)) for each in (strategy, plain)]
    assert projected == [0.0, 0.0]
    for ours, theirs in zip(strategy.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_clipping_comes_after_the_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, new, drawn = second_task(monkeypatch, conflict=True, grad_clip=1e-3)
    model = deepcopy(strategy.model).train()
    reference, gradient = (gradients(model, batch) for batch in (drawn, new))
    strategy.observe(new)
    left = flat(parameter.grad for parameter in strategy.parameters())
    first, last = (gradient.clip(-1e-3, 1e-3), in_numpy(gradient, reference).clip(-1e-3, 1e-3))
    np.testing.assert_allclose(left, last, rtol=0, atol=1e-7)
    assert np.abs(left - in_numpy(first, reference)).max() > 1e-4


def test_the_rate_of_projections_is_recorded() -> None:
    strategy, prepared = make("agem", epochs=10, lr=1e-2)
    rates = []
    for task in (0, 1):
        enter(strategy, prepared, task)
        values = [strategy.observe(batch)["projected"] for batch in batches(strategy, prepared, task)]
        strategy.after_task(strategy.stage)
        assert all(isinstance(value, Tensor) and value.item() in (0.0, 1.0) for value in values)
        rates.append(np.mean([float(value) for value in values]))
    assert rates[0] == 0 < rates[1] < 1
