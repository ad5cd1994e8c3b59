"""`er-ace` against its multi-label definition, and against `er`."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from learners import batches, enter, learn, make
from torch import Tensor

from clbench import Batch, Strategy
from clbench.learning.batch import Replay


def at(task: int, name: str = "er-ace", **settings: Any) -> tuple[Strategy, Batch, Replay]:
    """In a task, its first batch but one, and as many images drawn; in evaluation, so that passes are alike."""
    strategy, prepared = make(name, **settings)
    learn(strategy, prepared, *range(task))
    enter(strategy, prepared, task)
    first, second = batches(strategy, prepared, task)[:2]
    strategy.observe(first)
    strategy.train(False)
    replay = strategy.recall(3)
    assert replay is not None
    return strategy, second, replay


def entries(strategy: Strategy, batch: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(strategy.model(batch.inputs), batch.labels, reduction="none")


@pytest.mark.parametrize("stream", ["batch", "task"])
def test_losses_are_the_definition(stream: str) -> None:
    """`debug` has tasks of two classes and a head of six columns from the start."""
    for task in (0, 1, 2):
        strategy, new, replay = at(task, stream=stream)
        assert new.known.all() and replay.known.all()
        own = sorted({2 * task, 2 * task + 1} if stream == "task" else set(new.labels.nonzero()[:, 1].tolist()))
        taught = own if task else list(range(6))
        assert 0 < len(own) < 6
        losses = strategy.losses(new, replay)
        expected = entries(strategy, new)[:, taught].mean()
        torch.testing.assert_close(losses["loss"], expected, rtol=1e-6, atol=0)
        expected = entries(strategy, replay)[:, : 2 * task + 2].mean()
        torch.testing.assert_close(losses["replayed"], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("stream", ["batch", "task"])
def test_columns_left_out_learn_from_the_memory_alone(stream: str) -> None:
    strategy, new, replay = at(1, stream=stream)
    bias = strategy.model.head.classifier.bias_rows.blocks[0]
    losses = strategy.losses(new, replay)
    both, alone = (
        torch.autograd.grad(loss, bias, retain_graph=True)[0]
        for loss in (losses["loss"] + losses["replayed"], losses["replayed"])
    )
    assert torch.equal(both[:2], alone[:2]) and alone[:2].all(), "old classes"
    assert not both[4:].any(), "classes to come"
    assert not torch.equal(both[2:4], alone[2:4])


def test_only_labels_that_are_known_make_a_column_taught() -> None:
    strategy, new, replay = at(1)
    column = int(new.labels.nonzero()[0, 1])
    known = new.known.clone()
    known[:, column] = new.labels[:, column] == 0  # its positives are hidden
    bias = strategy.model.head.classifier.bias_rows.blocks[0]
    losses = strategy.losses(replace(new, known=known), replay)
    [gradient] = torch.autograd.grad(losses["loss"], bias)
    assert gradient[column] == 0


def test_but_for_the_columns_it_is_er() -> None:
    strategy, new, replay = at(0)
    replay = replace(replay, known=replay.known.clone().index_fill_(1, torch.arange(2, 6), False))
    new = replace(new, known=replay.known)
    plain, _, _ = at(0, "er")
    plain.model.load_state_dict(strategy.model.state_dict())
    found, expected = (sum(each.losses(new, replay).values()) for each in (strategy, plain))
    torch.testing.assert_close(found, 2 * expected, rtol=1e-6, atol=0)


def test_old_scores_do_not_fall_for_want_of_old_images() -> None:
    """New images push old classes down under `er`, and not here: over a task, without anything replayed."""
    fell = {}
    for name in ("er-ace", "er"):
        strategy, prepared = make(name, lr=1e-2, epochs=5)
        enter(strategy, prepared, 1)
        strategy.recall = lambda new: None  # type: ignore[method-assign]
        bias = strategy.model.head.classifier.bias_rows.blocks[0]
        before = bias.detach()[:2].clone()
        for batch in batches(strategy, prepared, 1):
            strategy.observe(batch)
        fell[name] = (before - bias.detach()[:2]).tolist()
    assert fell["er-ace"] == [0.0, 0.0] and min(fell["er"]) > 0.01
