"""`gem` against scipy's optimisers, against `agem` where there is one older task, and its draws."""

from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from learners import batches, enter, learn, make
from scipy.optimize import lsq_linear, minimize

from clbench.randomness import generator
from strategies import agem
from strategies.gem import GEM, project

Array = npt.NDArray[np.float64]


def gem(**settings: Any) -> tuple[GEM, Any]:
    strategy, prepared = make("gem", **settings)
    assert isinstance(strategy, GEM)
    return strategy, prepared


def draw(seed: int) -> tuple[Array, Array]:
    """A gradient (P,) that one to five references (K, P) at least are opposed by, of which some may be alike."""
    rng = np.random.default_rng(seed)
    tasks, size = int(rng.integers(1, 6)), int(rng.integers(6, 12))
    references = rng.standard_normal((tasks, size)) * 10.0 ** rng.integers(-2, 2)
    if tasks > 2 and seed % 5 == 0:
        references[1] = references[0]
    gradient = rng.standard_normal(size)
    return (gradient if (references @ gradient).min() < 0 else -gradient), references


def ours(gradient: Array, references: Array, margin: float) -> Array:
    found, opposed = project(torch.from_numpy(gradient), torch.from_numpy(references), margin)
    assert opposed
    array: Array = found.numpy()
    return array


def test_without_a_margin_it_is_the_nearest_that_opposes_none() -> None:
    for seed in range(50):
        gradient, references = draw(seed)
        scaled = references / np.linalg.norm(references, axis=1, keepdims=True)
        best = minimize(
            lambda z, g=gradient: ((z - g) ** 2).sum() / 2,
            np.zeros_like(gradient),
            jac=lambda z, g=gradient: z - g,
            constraints={"type": "ineq", "fun": lambda z, r=scaled: r @ z, "jac": lambda z, r=scaled: r},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        found, length = ours(gradient, references, 0.0), np.linalg.norm(gradient)
        assert best.success and (scaled @ found).min() >= -1e-9 * length
        assert np.linalg.norm(found - best.x) <= 1e-5 * length


@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_with_a_margin_it_is_bounded_least_squares(margin: float) -> None:
    for seed in range(50):
        gradient, references = draw(seed)
        best = lsq_linear(references.T, -gradient, bounds=(margin, np.inf), method="bvls", tol=1e-14)
        expected = gradient + references.T @ best.x
        assert np.linalg.norm(ours(gradient, references, margin) - expected) <= 1e-6 * np.linalg.norm(expected)


def test_one_task_is_a_gem() -> None:
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        gradient, reference = torch.randn(2, 1000, generator=rng)
        gradient = gradient - 0.1 * reference
        found, opposed = project(gradient, reference[None], 0.0)
        expected, also = agem.project(gradient, reference)
        assert opposed == also and (found - expected).norm() <= 1e-6 * gradient.norm()


def test_worked_by_hand() -> None:
    gradient, references = np.array([-1.0, -2.0, 3.0]), np.eye(3)[:2]
    assert ours(gradient, references, 0.0).tolist() == pytest.approx([0, 0, 3])
    assert ours(gradient, references, 1.5).tolist() == pytest.approx([0.5, 0, 3])  # the first is added 1.5 times
    assert ours(gradient, 1e3 * references, 0.0).tolist() == pytest.approx([0, 0, 3])
    along = torch.tensor([1.0, 0.0, 2.0])
    found, opposed = project(along, torch.from_numpy(references).float(), 0.5)
    assert not opposed and torch.equal(found, along)


def test_a_run_that_has_diverged_is_left_to_the_trainer() -> None:
    gradient, references = torch.tensor([-1.0, 1.0]), torch.tensor([[1.0, 0.0], [torch.nan, 0.0]])
    found, _ = project(gradient, references, 0.5)
    assert torch.equal(found, gradient)


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_a_step_is_that_of_a_gradient_for_each_older_task(margin: float, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = gem(margin=margin, size=12, replay_batch=6, grad_clip=0.0, lr=1e-2)
    learn(strategy, prepared, 0, 1)
    enter(strategy, prepared, 2)
    strategy.optimizer = torch.optim.SGD(strategy.parameters(), lr=0.1)
    drawn = strategy.recall(6)
    assert drawn is not None
    monkeypatch.setattr(strategy, "recall", lambda new: drawn)
    of = {int(index): task for task in (0, 1) for index in prepared.scenario[task].train}
    model, new = deepcopy(strategy.model).eval(), batches(strategy, prepared, 2)[0]

    def gradient(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs), labels)
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))])

    rows = [[row for row, index in enumerate(drawn.samples.indices) if of[int(index)] == task] for task in (0, 1)]
    assert [len(each) for each in rows] == [3, 3] and len(new) == 3
    samples = drawn.samples  # so that there is something to oppose:
    samples.indices[rows[1]], samples.labels[rows[1]] = new.samples.indices, 1 - new.samples.labels
    drawn.inputs[rows[1]], drawn.labels[rows[1]] = new.inputs, 1 - new.labels
    references = torch.stack([gradient(drawn.inputs[each], drawn.labels[each]) for each in rows])
    model.train()
    plain = gradient(new.inputs, new.labels)
    expected = torch.from_numpy(ours(plain.double().numpy(), references.double().numpy(), margin))
    before = torch.cat([weight.detach().flatten() for weight in strategy.parameters()])
    values = strategy.observe(new)
    after = torch.cat([weight.detach().flatten() for weight in strategy.parameters()])
    assert float(values["projected"]) == 1
    torch.testing.assert_close(after, before - 0.1 * expected.float(), rtol=0, atol=1e-6)
    for name, buffer in model.named_buffers():  # batch normalisation has seen the new images alone
        torch.testing.assert_close(strategy.model.get_buffer(name), buffer)


def test_each_older_task_is_drawn_equally_often_and_the_present_one_never() -> None:
    strategy, prepared = gem(size=100)
    learn(strategy, prepared, 0, 1)
    enter(strategy, prepared, 2)
    for batch in batches(strategy, prepared, 2):
        strategy.observe(batch)
    assert strategy.memory is not None
    of = {int(index): task for task in range(3) for index in prepared.scenario[task].train}
    counts = np.zeros(3, np.int64)
    for seed in range(200):
        slots = strategy.draw(5, generator(seed))
        assert len(set(slots.tolist())) == 5
        drawn = np.bincount([of[int(index)] for index in strategy.memory.indices[slots]], minlength=3)
        assert sorted(drawn[:2]) == [2, 3] and drawn[2] == 0
        counts += drawn
    assert abs(counts[0] - counts[1]) < 60
    assert len(strategy.draw(1, generator(0))) == 1
    assert len(strategy.draw(1000, generator(0))) == sum(of[int(i)] < 2 for i in strategy.memory.indices)


def test_a_memory_without_older_tasks_sets_no_bound() -> None:
    strategy, prepared = gem(size=1)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    assert strategy.memory is not None
    strategy.memory.put(np.zeros(1, np.int64), {"task": torch.tensor([2])})
    assert strategy.recall(3) is None
    assert float(strategy.observe(batches(strategy, prepared, 1)[0])["projected"]) == 0


def test_what_is_stored_at_a_tasks_end_is_of_that_task() -> None:
    strategy, prepared = make("gem", memory="herding", size=9)
    assert strategy.memory is not None
    of = {int(index): task for task in range(3) for index in prepared.scenario[task].train}
    for task in (0, 1, 2):
        learn(strategy, prepared, task)
        slots = np.arange(len(strategy.memory))
        found = strategy.memory.kept(slots)["task"].tolist()
        assert found == [of[int(index)] + 1 for index in strategy.memory.indices] and task + 1 in found
