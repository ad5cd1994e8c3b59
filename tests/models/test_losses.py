import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clbench.models.losses import asymmetric, bce, squared

Loss = Callable[..., Tensor]
SHAPES = [(1, 1), (3, 5), (1, 41), (11, 5), (7, 13), (10, 20), (20, 70), (20, 80), (100, 49)]


def problem(shape: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that ask for a gradient, and labels."""
    rng = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(shape, generator=rng)
    return logits.requires_grad_(), (torch.rand(shape, generator=rng) < 0.2).float()


def everything(labels: Tensor) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_bce_is_pytorchs_own_bit_for_bit_when_all_labels_are_known(shape: tuple[int, int], seed: int) -> None:
    logits, labels = problem(shape, seed)
    ours = bce(logits, labels, everything(labels))
    theirs = F.binary_cross_entropy_with_logits(logits, labels, reduction="mean")
    assert torch.equal(ours, theirs)
    assert torch.equal(torch.autograd.grad(ours, logits)[0], torch.autograd.grad(theirs, logits)[0])


def test_bce_is_the_multi_label_soft_margin_loss() -> None:
    logits, labels = problem((10, 70))
    theirs = F.multilabel_soft_margin_loss(logits, labels)
    torch.testing.assert_close(bce(logits, labels, everything(labels)), theirs, rtol=1e-6, atol=0)


def test_bce_worked_by_hand() -> None:
    logits, labels = torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, True], [True, False]])
    total = math.log(2) + math.log(1 + math.exp(2)) + math.log(2)
    assert bce(logits, labels, known).item() == pytest.approx(total / 3, rel=1e-6)
    assert bce(logits, labels, known, "sum").item() == pytest.approx(total / 2, rel=1e-6)


def test_squared_worked_by_hand() -> None:
    logits, targets = torch.tensor([[1.0, -2.0], [3.0, 5.0]]), torch.tensor([[0.0, 2.0], [1.0, 9.0]])
    known = torch.tensor([[True, True], [True, False]])
    assert squared(logits, targets, known).item() == (1 + 16 + 4) / 3
    assert squared(logits, targets, known, "sum").item() == (1 + 16 + 4) / 2
    assert squared(logits, targets, torch.zeros_like(known)).item() == 0


def test_asymmetric_worked_by_hand() -> None:
    logits, labels = torch.tensor([[1.5, 0.3], [-4.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    known = torch.tensor([[True, True], [True, False]])

    def p(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    positive = -((1 - p(1.5)) ** 1.5) * math.log(p(1.5))
    negative = -((p(0.3) - 0.05) ** 3) * math.log(1 - (p(0.3) - 0.05))
    easy = 0.0  # p(-4) = 0.018 is below the clip
    loss = partial(asymmetric, gamma_neg=3.0, gamma_pos=1.5, clip=0.05)
    total = positive + negative + easy
    assert loss(logits, labels, known).item() == pytest.approx(total / 3, rel=1e-5)
    assert loss(logits, labels, known, "sum").item() == pytest.approx(total / 2, rel=1e-5)


def test_asymmetric_lets_no_gradient_through_the_focal_weight() -> None:
    logits = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    loss = asymmetric(logits, torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
    p = 1 / (1 + math.exp(-0.3))
    expected = (p - 0.05) ** 4 * p * (1 - p) / (1 - p + 0.05)  # of -log(1 - p + clip), times the constant weight
    assert torch.autograd.grad(loss, logits)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_asymmetric_without_focus_and_clip_is_bce(reduction: str) -> None:
    logits, labels = problem((20, 70))
    known = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    ours = asymmetric(logits, labels, known, reduction, gamma_neg=0, gamma_pos=0, clip=0)
    theirs = bce(logits, labels, known, reduction)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", [bce, asymmetric])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_hidden_labels_count_for_nothing(
    loss: Loss, reduction: str, images: int, classes: int, seed: int, share: float
) -> None:
    logits, labels = problem((images, classes), seed)
    known = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < share
    value = loss(logits, labels, known, reduction)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[~known] == 0).all()
    flipped = torch.where(known, labels, 1 - labels)
    assert torch.equal(loss(logits, flipped, known, reduction), value)
    divisor = max(1, int(known.sum())) if reduction == "mean" else images
    row = loss(logits[known][None], labels[known][None], known[known][None], "sum") if known.any() else torch.zeros(())
    torch.testing.assert_close(value, row / divisor, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", [bce, asymmetric])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_known_label_gives_zero(loss: Loss, reduction: str) -> None:
    logits, labels = problem((4, 3))
    value = loss(logits, labels, torch.zeros_like(labels, dtype=torch.bool), reduction)
    assert value.item() == 0
    assert (torch.autograd.grad(value, logits)[0] == 0).all()


@pytest.mark.parametrize("loss", [bce, asymmetric])
def test_extreme_logits_stay_finite(loss: Loss) -> None:
    logits = torch.tensor([[200.0, -200.0, 200.0, -200.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    value = loss(logits, labels, everything(labels))
    assert value.isfinite()
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


@pytest.mark.parametrize("loss", [bce, asymmetric])
def test_another_reduction_is_refused(loss: Loss) -> None:
    logits, labels = problem((2, 2))
    with pytest.raises(ValueError, match="mean or sum"):
        loss(logits, labels, everything(labels), "none")
