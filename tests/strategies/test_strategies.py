"""What each strategy computes, against the definition."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learners import batches, enter, learn, make

from clbench import Batch, Strategy
from clbench.scenario.samples import Samples


def seen_losses(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Every loss that the strategy steps on."""
    losses: list[torch.Tensor] = []
    step = strategy.step

    def spy(loss: torch.Tensor) -> None:
        losses.append(loss.detach().clone())
        step(loss)

    monkeypatch.setattr(strategy, "step", spy)
    return losses


def shown_images(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray[Any, Any]]:
    """The images of every batch that the strategy takes the loss of."""
    shown: list[np.ndarray[Any, Any]] = []
    loss = strategy.loss

    def spy(batch: Batch) -> torch.Tensor:
        shown.append(batch.samples.indices)
        return loss(batch)

    monkeypatch.setattr(strategy, "loss", spy)
    return shown


@pytest.mark.parametrize(("name", "sizes"), [("finetune", [3, 3]), ("er", [3, 6])])
def test_a_task_is_a_plain_pytorch_loop(name: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the images that it showed: cross-entropy of all columns, clipping by value, Adam."""
    strategy, prepared = make(name, grad_clip=0.01)
    model, options = deepcopy(strategy.model).train(), prepared.config.options["train"]
    shown = shown_images(strategy, monkeypatch)
    learn(strategy, prepared, 0)
    assert [len(images) for images in shown] == sizes
    adam = torch.optim.Adam(model.parameters(), lr=options.lr, fused=True)
    for images in shown:
        labels = torch.from_numpy(prepared.scenario.labels[images].astype(np.float32))
        adam.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(prepared.scenario.images.read(images)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.01)
        adam.step()
    for one, other in zip(strategy.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_er_steps_on_new_and_replayed_samples_under_one_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("er")
    enter(strategy, prepared, 0)
    shown = shown_images(strategy, monkeypatch)
    first, second = batches(strategy, prepared, 0)
    strategy.observe(first)
    assert (
        shown[0].tolist() == first.samples.indices.tolist()
    )  # nothing to replay yet: memory is updated after the step
    strategy.observe(second)
    assert shown[1][:3].tolist() == second.samples.indices.tolist()
    assert sorted(shown[1][3:].tolist()) == sorted(first.samples.indices.tolist())


@pytest.mark.parametrize(("replay_batch", "drawn"), [(0, 3), (2, 2)])
def test_as_many_are_replayed_as_are_new_unless_a_number_is_given(replay_batch: int, drawn: int) -> None:
    strategy, prepared = make("er", replay_batch=replay_batch)
    learn(strategy, prepared, 0)
    replay = strategy.recall(3)
    assert replay is not None and len(replay) == len(set(replay.slots.tolist())) == drawn


def test_replayed_labels_are_those_that_were_stored() -> None:
    strategy, prepared = make("er")
    enter(strategy, prepared, 0)
    batch = batches(strategy, prepared, 0)[0]
    hidden = Samples(batch.samples.indices, 1 - batch.samples.labels, ~batch.samples.known)
    strategy.remember(strategy.load(hidden))
    replayed = strategy.recall(3)
    assert replayed is not None
    rows = [hidden.indices.tolist().index(i) for i in replayed.samples.indices]
    assert torch.equal(replayed.labels, torch.from_numpy(hidden.labels[rows].astype(np.float32)))
    assert not replayed.known.any()
    assert torch.equal(replayed.inputs, prepared.scenario.images.read(replayed.samples.indices))


def test_dlfl_is_er_with_its_head() -> None:
    dlfl, _ = make("dlfl", memory="reservoir")
    er, prepared = make("er", head="dlfl")
    for strategy in (dlfl, er):
        learn(strategy, prepared, 0, 1)
    for one, other in zip(dlfl.model.parameters(), er.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["ewc", "lwf"])
def test_the_first_task_is_finetuning(name: str) -> None:
    strategy, prepared = make(name)
    plain, _ = make("finetune")
    for each in (strategy, plain):
        enter(each, prepared, 0)
        for batch in batches(each, prepared, 0):
            each.observe(batch)
    for one, other in zip(strategy.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_lwf_losses_are_the_definition(monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    strategy, prepared = make("lwf", distill=0.7, reduction=reduction)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    batch = batches(strategy, prepared, 1)[0]
    old, rest = [0, 1], [2, 3, 4, 5]
    teacher = strategy.teacher  # type: ignore[attr-defined]
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        target = torch.sigmoid(teacher(batch.inputs)[:, old])
        logits = strategy.model(batch.inputs)  # training mode, as in observe
    over_labels: dict[str, Any] = {"mean": torch.mean, "sum": torch.sum}

    def reduced(entries: torch.Tensor) -> Any:
        return over_labels[reduction](entries, 1).mean()

    new = F.binary_cross_entropy_with_logits(logits[:, rest], batch.labels[:, rest], reduction="none")
    distilled = F.binary_cross_entropy_with_logits(logits[:, old], target, reduction="none")
    losses = seen_losses(strategy, monkeypatch)
    strategy.observe(batch)
    torch.testing.assert_close(losses[0], reduced(new) + 0.7 * reduced(distilled), rtol=1e-6, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_replayed_images_have_no_part_in_the_distillation(reduction: str) -> None:
    strategy, prepared = make("lwf", memory="reservoir", reduction=reduction)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    strategy.train(False)  # without batch statistics, which replayed images do have a part in
    batch = batches(strategy, prepared, 1)[0]
    alone, joined = (strategy.losses(batch, replay)["distilled"] for replay in (None, strategy.recall(3)))
    assert alone > 0
    torch.testing.assert_close(alone, joined)


def test_lwf_supervises_replayed_samples_by_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("lwf", memory="reservoir")
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    masks: list[torch.Tensor] = []
    criterion = strategy.criterion

    def spy(logits: torch.Tensor, labels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        masks.append(known)
        return criterion(logits, labels, known)

    strategy.criterion = spy
    strategy.observe(batches(strategy, prepared, 1)[0])
    assert not masks[0][:3, :2].any() and masks[0][:3, 2:].all()
    assert len(masks[0]) > 3 and masks[0][3:].all()


def test_joint_sees_every_task_at_once() -> None:
    from clbench.learning.listener import Listener
    from clbench.learning.trainer import train

    class Tasks(Listener):
        def __init__(self) -> None:
            self.steps: list[tuple[int, int, int]] = []

        def task_started(self, task: int, tasks: int, steps: int) -> None:
            self.steps.append((task, tasks, steps))

    strategy, prepared = make("joint", passes=2)
    listener = Tasks()
    options = prepared.config.options["train"]
    evaluations = train(strategy, prepared.scenario, options, seed=0, listeners=[listener])
    assert listener.steps == [(0, 1, 2 * 7)] and len(evaluations) == 1  # 3 tasks of 2 steps, twice: 12; 7 an epoch
    assert evaluations[0].logits.shape == (9, 6)
