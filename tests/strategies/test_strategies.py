"""What each strategy computes, against the definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clbench import Batch, Strategy
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples

CPU = torch.device("cpu")


def make(
    name: str, *, memory: str | None = "default", head: str = "default", **settings: Any
) -> tuple[Strategy, Prepared]:
    config = resolve("debug", name, memory=memory, head=head, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    return build_strategy(prepared, 0, CPU), prepared


def batches(strategy: Strategy, prepared: Prepared, task: int) -> list[Batch]:
    found = stream(prepared.scenario[task], task, prepared.config.options["train"], 0)
    return [strategy.load(samples) for samples in found]


def enter(strategy: Strategy, prepared: Prepared, task: int) -> None:
    strategy.enter(list(stages_of(prepared.scenario, prepared.config.options["train"]))[task])


def learn(strategy: Strategy, prepared: Prepared, *tasks: int) -> None:
    for number in tasks:
        enter(strategy, prepared, number)
        for batch in batches(strategy, prepared, number):
            strategy.observe(batch)
        strategy.after_task(strategy.stage)


def seen_losses(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Every loss that the strategy steps on."""
    losses: list[torch.Tensor] = []
    step = strategy.step

    def spy(loss: torch.Tensor) -> None:
        losses.append(loss.detach().clone())
        step(loss)

    monkeypatch.setattr(strategy, "step", spy)
    return losses


def test_er_steps_on_new_and_replayed_samples_under_one_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("er")
    enter(strategy, prepared, 0)
    shown: list[np.ndarray[Any, Any]] = []
    loss = strategy.loss

    def spy(batch: Batch) -> torch.Tensor:
        shown.append(batch.samples.indices)
        return loss(batch)

    monkeypatch.setattr(strategy, "loss", spy)
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


def test_lwf_losses_are_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, prepared = make("lwf", distill=0.7)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    batch = batches(strategy, prepared, 1)[0]
    old, rest = [0, 1], [2, 3, 4, 5]
    teacher = strategy.teacher  # type: ignore[attr-defined]
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        target = torch.sigmoid(teacher(batch.inputs)[:, old])
        logits = strategy.model(batch.inputs)  # training mode, as in observe
    expected = F.binary_cross_entropy_with_logits(logits[:, rest], batch.labels[:, rest])
    expected = expected + 0.7 * F.binary_cross_entropy_with_logits(logits[:, old], target)
    losses = seen_losses(strategy, monkeypatch)
    strategy.observe(batch)
    torch.testing.assert_close(losses[0], expected)


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
