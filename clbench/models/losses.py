"""Losses over multi-label logits that leave hidden labels out.

Each takes logits (B, C), labels (B, C) float in {0, 1} and known (B, C) bool, False where the protocol hides the label,
and gives a scalar. An entry that is not known adds nothing and its gradient is exactly zero; with none known the loss
is 0. Nothing here waits for the device.

reduction: `mean` over the known entries, as in PRS; `sum` over the known labels, then mean over images, as in the code
that DLFL's first author released for an earlier paper (github.com/valencebond/Rethinking_of_PAR).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(logits: Tensor, labels: Tensor, known: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of each label. Its mean with all labels known is PRS's MultiLabelSoftMarginLoss."""
    if reduction == "mean":
        # In this order value and gradient are, bit for bit, PyTorch's own mean where all labels are known:
        # a mean over B x C with zero weights, then a factor that is exactly 1 in that case (a Python number divided by
        # a tensor would be number * (1 / tensor), which need not be).
        mean = F.binary_cross_entropy_with_logits(logits, labels, weight=known.to(logits.dtype))
        count = known.sum().clamp(min=1)
        return mean * (torch.full_like(count, known.numel()) / count)
    return _reduce(F.binary_cross_entropy_with_logits(logits, labels, reduction="none"), known, reduction)


def asymmetric(
    logits: Tensor,
    labels: Tensor,
    known: Tensor,
    reduction: str = "mean",
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss (ASL): Ridnik et al., "Asymmetric Loss for Multi-Label Classification", ICCV 2021, 2009.14119.

    With p = sigmoid(logit) and q = max(p - clip, 0): -(1 - p)^gamma_pos log p for a positive, -q^gamma_neg log(1 - q)
    for a negative. No gradient flows through the two factors in front of the logarithms. Defaults: the paper's
    constants for MS-COCO.
    Differs from the authors' code: logarithms without a floor of 1e-8, and the sum is divided as `reduction` says.
    """
    positive = labels > 0.5
    log_p = F.logsigmoid(logits)
    log_not_q = F.logsigmoid(-logits) if clip == 0 else (torch.sigmoid(-logits) + clip).clamp(max=1).log()
    with torch.no_grad():
        p = logits.sigmoid()
        focus = torch.where(positive, (1 - p) ** gamma_pos, (p - clip).clamp(min=0) ** gamma_neg)
    return _reduce(-focus * torch.where(positive, log_p, log_not_q), known, reduction)


def squared(logits: Tensor, targets: Tensor, known: Tensor, reduction: str = "mean") -> Tensor:
    """Squared distance of each logit to a target (B, C) float32; reduced as the others are."""
    return _reduce((logits - targets).square(), known, reduction)


def _reduce(entries: Tensor, known: Tensor, reduction: str) -> Tensor:
    total = torch.where(known, entries, 0).sum()
    if reduction == "mean":
        return total / known.sum().clamp(min=1)
    if reduction == "sum":
        return total / len(entries)
    raise ValueError(f"expected reduction to be mean or sum but got {reduction!r}")
