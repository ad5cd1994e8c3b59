"""The Fisher information and the penalty of `ewc`, against the definition."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learners import batches, enter, learn, make

from clbench import Strategy
from clbench.learning.batch import Replay
from clbench.learning.stage import Stage
from clbench.randomness import generator
from clbench.running.build import Prepared
from clbench.scenario.samples import Samples

KINDS = ("exact", "sampled", "empirical")


def per_sample_squares(
    strategy: Strategy, prepared: Prepared, task: int, kind: str = "empirical"
) -> list[torch.Tensor]:
    """The mean over single samples of squared gradients, straight from the definition; all labels are known.

    exact: what is expected of each label's squared gradient over its two values. empirical: at the given labels.
    """
    strategy.model.eval()
    weights = list(strategy.model.parameters())
    total = [torch.zeros_like(w) for w in weights]
    rows = prepared.scenario[task].train
    for row in rows:
        images = prepared.scenario.images.read(np.array([row]))
        labels = torch.from_numpy(prepared.scenario.labels[[row]].astype(np.float32))
        p = torch.sigmoid(strategy.model(images))
        if kind == "empirical":
            weighted = [(1.0, torch.where(labels > 0, p, 1 - p).log().sum())]
        else:
            weighted = [(q.item(), q.log()) for q in (*p[0], *(1 - p[0]))]
        for probability, likelihood in weighted:
            for t, g in zip(total, torch.autograd.grad(likelihood, weights, retain_graph=True), strict=True):
                t += probability * g**2 / len(rows)
    strategy.model.train()
    return total


def skewed(kind: str, *, precise: bool = True, **settings: Any) -> tuple[Strategy, Prepared]:
    """EWC in the debug scenario's first task, in float64 or not, with labels that the model is more or less sure of."""
    strategy, prepared = make("ewc", fisher=kind, **settings)
    enter(strategy, prepared, 0)
    if precise:
        strategy.model.double()
    with torch.no_grad():
        strategy.model.head.get_parameter("classifier.bias_rows.0").copy_(
            torch.tensor([2.0, -2.0, 1.0, -1.0, 0.5, -3.0])
        )
    return strategy, prepared


def shown(strategy: Strategy, known: list[list[int]], labels: np.ndarray[Any, Any] | None = None) -> Stage:
    """The task with its first images only, of which the protocol shows these columns."""
    task, images = strategy.stage.task, len(known)
    mask = np.zeros((images, 6), np.bool_)
    for row, columns in enumerate(known):
        mask[row, columns] = True
    given = task.labels[:images] if labels is None else labels
    return replace(strategy.stage, task=replace(task, train=task.train[:images], labels=given, known=mask))


def fisher(strategy: Strategy, stage: Stage) -> torch.Tensor:
    """Flat."""
    found: dict[str, torch.Tensor] = strategy.fisher(stage)  # type: ignore[attr-defined]
    return torch.cat([f.flatten() for f in found.values()])


def flat_gradient(strategy: Strategy, loss: torch.Tensor) -> torch.Tensor:
    found = torch.autograd.grad(loss, strategy.parameters(), retain_graph=True)
    return torch.cat([g.flatten() for g in found])


def expected_over_label_vectors(strategy: Strategy, stage: Stage) -> torch.Tensor:
    """The squared gradient of the log-likelihood, expected over all 2^K vectors of an image's known labels."""
    strategy.model.eval()
    total = torch.zeros(sum(w.numel() for w in strategy.parameters()), dtype=torch.float64)
    for row in range(len(stage.task.train)):
        batch = strategy.load(stage.task.samples.rows(np.array([row])))
        p = torch.sigmoid(strategy.model(batch.inputs)[0][batch.known[0]])
        for vector in product((0, 1), repeat=len(p)):
            probability = torch.where(torch.tensor(vector) > 0, p, 1 - p).prod()
            total += probability.item() * flat_gradient(strategy, probability.log()) ** 2
    strategy.model.train()
    return total / len(stage.task.train)


def test_the_exact_fisher_is_the_expectation_over_all_label_vectors() -> None:
    strategy, _ = skewed("exact")
    stage = shown(strategy, [[0, 1, 2, 4], [5, 3], [2]])
    torch.testing.assert_close(
        fisher(strategy, stage), expected_over_label_vectors(strategy, stage), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("kind", ["exact", "empirical"])
def test_the_fisher_is_the_mean_over_single_samples(kind: str) -> None:
    strategy, prepared = skewed(kind, precise=False)
    expected = torch.cat([t.flatten() for t in per_sample_squares(strategy, prepared, 0, kind)])
    torch.testing.assert_close(fisher(strategy, strategy.stage), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_the_mean_of_sampled_fishers_is_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, _ = skewed("sampled")
    stage = shown(strategy, [[0, 1, 2, 3, 4, 5], [5, 3, 0]])
    exact = expected_over_label_vectors(strategy, stage)
    total, draws = torch.zeros_like(exact), 400
    for seed in range(draws):
        monkeypatch.setattr(strategy, "generator", partial(generator, seed))
        total += fisher(strategy, stage) / draws
    assert (total - exact).norm() < 0.1 * exact.norm()


def test_drawn_labels_are_seeded_and_not_the_given_ones() -> None:
    (sampled, _), (again, _), (empirical, _) = (skewed(kind) for kind in ("sampled", "sampled", "empirical"))
    one, same, given = (fisher(each, each.stage) for each in (sampled, again, empirical))
    assert torch.equal(one, same) and torch.equal(one, fisher(sampled, sampled.stage))
    assert not torch.allclose(one, given, rtol=0.1)
    sampled._setup = replace(sampled._setup, seed=1)  # takes all images of the task still
    assert not torch.allclose(one, fisher(sampled, sampled.stage), rtol=0.1)


def test_each_image_has_draws_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, _ = skewed("sampled")
    named, purposes = strategy.generator, []

    def spy(*purpose: str | int) -> np.random.Generator:
        purposes.append(purpose)
        return named(*purpose)

    monkeypatch.setattr(strategy, "generator", spy)
    fisher(strategy, strategy.stage)
    assert len(set(purposes)) == len(purposes) == 1 + 7  # which images, and the labels of each


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_labels_count_for_nothing(kind: str) -> None:
    strategy, _ = skewed(kind)
    known: list[list[int]] = [[0, 1], [1, 2], []]
    task = strategy.stage.task
    flipped = np.where(shown(strategy, known).task.known, task.labels[:3], 1 - task.labels[:3])
    found = fisher(strategy, shown(strategy, known))
    assert torch.equal(found, fisher(strategy, shown(strategy, known, flipped)))
    bias = found[-6:]  # the head's last tensor: its gradient is that of the logits
    assert (bias[:3] > 0).all() and (bias[3:] == 0).all()
    # The third image has a part in the mean and nothing else.
    torch.testing.assert_close(found * 3 / 2, fisher(strategy, shown(strategy, known[:2])))


@pytest.mark.parametrize("loss", ["bce", "asl"])
@pytest.mark.parametrize("replayed", [False, True])
def test_strength_means_one_thing_under_mean_and_sum(loss: str, replayed: bool) -> None:
    ratios, penalties = [], []
    for reduction in ("mean", "sum"):
        strategy, prepared = skewed("exact", reduction=reduction, loss=loss)
        first, second = batches(strategy, prepared, 0)[:2]
        strategy.after_task(strategy.stage)
        with torch.no_grad():
            for number, weight in enumerate(strategy.parameters()):
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)), alpha=0.01)
        losses = strategy.losses(first, Replay(**vars(second), slots=np.arange(3)) if replayed else None)
        pull, push = (flat_gradient(strategy, losses[name]).norm().item() for name in ("penalty", "loss"))
        ratios.append(pull / push)
        penalties.append(losses["penalty"].item())
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-5) and ratios[0] > 0
    assert penalties[1] == pytest.approx(6 * penalties[0], rel=1e-5)  # six labels of an image


def test_the_penalty_goes_by_the_labels_that_are_known() -> None:
    strategy, prepared = skewed("exact", precise=False)
    strategy.after_task(strategy.stage)
    enter(strategy, prepared, 1)
    for weight in strategy.parameters():
        weight.data += 0.01
    batch = batches(strategy, prepared, 1)[0]
    known = batch.known.clone()
    known[0, 1:] = False
    known[1] = False  # 1 + 0 + 6 labels of three images
    found = [strategy.losses(replace(batch, known=k), None)["penalty"].item() for k in (known, batch.known)]
    assert found[0] == pytest.approx(found[1] * 6 / (7 / 3)) and found[1] > 0


@pytest.mark.parametrize("kind", ["exact", "empirical"])
@pytest.mark.parametrize(("variant", "decay"), [("sum", 1.0), ("online", 0.5)])
def test_the_penalty_is_the_definition(variant: str, decay: float, kind: str) -> None:
    strategy, prepared = make("ewc", variant=variant, decay=decay, strength=3.0, fisher=kind)
    fishers, anchors = [], []
    for task in (0, 1):
        learn(strategy, prepared, task)
        fishers.append(per_sample_squares(strategy, prepared, task, kind))
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
    torch.testing.assert_close(penalty(), 1.5 * torch.as_tensor(expected), rtol=1e-5, atol=0)


def test_the_fisher_is_not_the_squared_batch_gradient() -> None:
    strategy, prepared = make("ewc", fisher="empirical")
    learn(strategy, prepared, 0)
    found = fisher(strategy, strategy.stage)
    task = prepared.scenario[0]
    batch = strategy.load(Samples(task.train, task.labels, task.known))
    strategy.model.eval()
    loss = F.binary_cross_entropy_with_logits(strategy.model(batch.inputs), batch.labels, reduction="sum") / len(batch)
    squared = torch.cat([g.flatten() ** 2 for g in torch.autograd.grad(loss, list(strategy.model.parameters()))])
    assert F.cosine_similarity(found, squared, dim=0) < 0.95


def test_ewc_holds_weights_back() -> None:
    moved = []
    for strength in (0.0, 1e6):
        strategy, prepared = make("ewc", strength=strength, lr=1e-2)
        learn(strategy, prepared, 0)
        [(information, old)] = strategy.anchors  # type: ignore[attr-defined]
        learn(strategy, prepared, 1)
        now = strategy.named_parameters()
        assert information.keys() == now.keys() == old.keys()
        moved.append(sum((f * (now[name].detach() - old[name]) ** 2).sum().item() for name, f in information.items()))
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("variant", ["sum", "online"])
def test_the_penalty_of_a_grown_head_is_on_the_weights_that_there_were(variant: str) -> None:
    strategy, prepared = make("ewc", "debug-incremental", variant=variant, decay=0.5, strength=2.0)
    anchors: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = strategy.anchors  # type: ignore[attr-defined]
    penalty: Callable[[], torch.Tensor] = strategy.penalty  # type: ignore[attr-defined]
    columns = []
    for task in (0, 1):
        learn(strategy, prepared, task)
        assert penalty() == 0 if task == 0 or variant == "online" else penalty() > 0
        columns.append(sum(len(f) for name, f in anchors[-1][0].items() if "bias_rows" in name))
    assert columns == [2, 4]
    enter(strategy, prepared, 2)
    before = penalty().item()
    bias = strategy.model.head.classifier.bias_rows.blocks
    with torch.no_grad():
        bias[2].add_(1.0)
    assert penalty().item() == before, "no anchor knows rows that are new"
    with torch.no_grad():
        bias[1].add_(0.5)
    fisher = anchors[-1][0]["model.head.classifier.bias_rows.1"]
    assert fisher.sum() > 0
    assert penalty().item() - before == pytest.approx(0.25 * fisher.sum().item(), rel=1e-4)
