"""`derpp` against the definition: what it steps on, and the logits that stand beside its memory."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learners import batches, enter, learn, make
from torch import Tensor

from clbench import Strategy
from clbench.learning.batch import Replay
from clbench.memory import Memory


def memory_of(strategy: Strategy) -> Memory:
    assert strategy.memory is not None
    return strategy.memory


def recalled(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> list[Replay | None]:
    """Every draw from the memory, in order."""
    drawn: list[Replay | None] = []
    recall = strategy.recall

    def spy(new: int) -> Replay | None:
        drawn.append(recall(new))
        return drawn[-1]

    monkeypatch.setattr(strategy, "recall", spy)
    return drawn


@pytest.mark.parametrize("columns", ["seen", "all"])
def test_two_tasks_are_a_plain_pytorch_loop(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a notebook of its own in which every image has its logits of before its step."""
    strategy, prepared = make("derpp", alpha=0.3, beta=0.7, columns=columns, grad_clip=0.01)
    read, truth = prepared.scenario.images.read, torch.from_numpy(prepared.scenario.labels.astype(np.float32))
    model = deepcopy(strategy.model).train()
    adam = torch.optim.Adam(model.parameters(), lr=prepared.config.options["train"].lr, fused=True)
    drawn = recalled(strategy, monkeypatch)
    notebook: dict[int, tuple[Tensor, Tensor]] = {}
    for task, seen in ((0, 2), (1, 4)):
        enter(strategy, prepared, task)
        there = torch.arange(6) < (6 if columns == "all" else seen)
        for batch in batches(strategy, prepared, task):
            strategy.observe(batch)
            one, other = (np.zeros(0, np.int64) if d is None else d.samples.indices for d in drawn[-2:])
            new = batch.samples.indices
            logits = model(read(np.concatenate([new, one, other])))
            z, za, zb = logits.split([len(new), len(one), len(other)])
            loss = F.binary_cross_entropy_with_logits(z, truth[new])
            if len(one):
                stored, mask = (torch.stack([notebook[i][k] for i in one.tolist()]) for k in (0, 1))
                loss = loss + 0.3 * ((mask * (za - stored) ** 2).sum() / mask.sum())
                loss = loss + 0.7 * F.binary_cross_entropy_with_logits(zb, truth[other])
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_value_(model.parameters(), 0.01)
            adam.step()
            notebook |= {int(i): (row, there) for i, row in zip(new, z.detach(), strict=True)}
        strategy.after_task(strategy.stage)
    for ours, theirs in zip(strategy.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    memory = memory_of(strategy)
    kept = memory.kept(np.arange(len(memory)))
    for slot, index in enumerate(memory.indices.tolist()):
        assert torch.equal(kept["logits"][slot], notebook[index][0]) and kept["columns"][slot].equal(notebook[index][1])


@pytest.mark.slow
def test_the_two_draws_are_independent_and_each_without_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("derpp", size=7)
    learn(strategy, prepared, 0)
    drawn = recalled(strategy, monkeypatch)
    enter(strategy, prepared, 1)
    pairs = []
    for _ in range(200):
        strategy.observe(batches(strategy, prepared, 1)[0])
        one, other = (set(d.slots.tolist()) for d in drawn[-2:] if d is not None)
        assert len(one) == len(other) == 3
        pairs.append(len(one & other))
    # 3 of 6 or 7 slots each: 9/7 or 9/6 in common on average, and none or all of them now and then
    assert {0, 3} <= set(pairs) and 1.1 < np.mean(pairs) < 1.7


def test_old_logits_stay_as_they_were_and_new_columns_are_left_out() -> None:
    strategy, prepared = make("derpp", "debug-incremental", size=50)
    enter(strategy, prepared, 0)
    first = batches(strategy, prepared, 0)[0]
    before: Tensor = deepcopy(strategy.model)(first.inputs).detach()
    strategy.observe(first)
    after: Tensor = deepcopy(strategy.model)(first.inputs).detach()
    memory = memory_of(strategy)
    slots = np.array([memory.indices.tolist().index(i) for i in first.samples.indices.tolist()])
    assert torch.equal(memory.kept(slots)["logits"], before) and not torch.equal(before, after)
    for batch in batches(strategy, prepared, 0)[1:]:
        strategy.observe(batch)
    strategy.after_task(strategy.stage)
    learn(strategy, prepared, 1)
    kept = memory.kept(slots)
    assert kept["logits"].shape == (len(first), 4)
    assert torch.equal(kept["logits"][:, :2], before)
    assert kept["columns"].tolist() == [[True, True, False, False]] * len(first)
    enter(strategy, prepared, 2)
    logits = torch.randn(len(first), 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distance: Any = strategy.distance  # type: ignore[attr-defined]
    [gradient] = torch.autograd.grad(distance(logits, memory.kept(slots)), logits)
    assert gradient[:, :2].all() and not gradient[:, 2:].any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_distance_is_the_definition_over_the_columns_that_were_there(reduction: str) -> None:
    strategy, _ = make("derpp", reduction=reduction)
    rng = np.random.default_rng(0)
    z, stored = rng.normal(size=(2, 5, 6)).astype(np.float32)
    mask = rng.random((5, 6)) < 0.6
    squares = (z.astype(np.float64) - stored) ** 2
    expected = squares[mask].mean() if reduction == "mean" else squares[mask].sum() / 5
    distance: Any = strategy.distance  # type: ignore[attr-defined]
    found = distance(torch.from_numpy(z), {"logits": torch.from_numpy(stored), "columns": torch.from_numpy(mask)})
    torch.testing.assert_close(found.item(), expected, rtol=1e-6, atol=0)


def test_old_outputs_are_held() -> None:
    """The larger alpha, the nearer the logits of stored images stay to those stored."""
    distances = []
    for alpha in (0.0, 30.0):
        strategy, prepared = make("derpp", alpha=alpha, beta=0.0, lr=1e-2, size=7)
        learn(strategy, prepared, 0, 1, 2)
        memory = memory_of(strategy)
        slots = np.arange(len(memory))
        batch = strategy.load(memory.stored(slots))
        distance: Any = strategy.distance  # type: ignore[attr-defined]
        distances.append(distance(strategy.model(batch.inputs), memory.kept(slots)).item())
    assert 0 < distances[1] < 0.5 * distances[0]


def test_logits_and_columns_are_counted_beside_the_images() -> None:
    strategy, prepared = make("derpp", size=5)
    learn(strategy, prepared, 0)
    assert strategy.memory_bytes() == 5 * (strategy.loader.image_bytes + 6 * 4 + 6)
