"""The angle between a label's feature and its classifier: what one shared feature costs an image with many labels.

A logit is |w| |f| cos(angle). Classifiers of different labels come out nearly orthogonal; the best that one feature
shared by M positive labels can do is to stand at the same angle to all M classifiers, arccos(1 / sqrt(M)): 45 degrees
for two, 54.7 for three, towards 90 for many. A feature per label can reach 0.

Jia et al., DAFL, AAAI 2022, doi 10.1609/aaai.v36i1.19991, and DLFL, arXiv 2212.01461; we derived the formula in M.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.models.head import Classifier, Head


def positive_angle(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Mean angle in degrees, over the positives, between the feature that a label is scored by and its classifier.

    features: (B, 1, d), shared by all labels, or (B, C, d). weight: (C, d). labels: (B, C) in {0, 1}.
    Returns a float64 scalar on their device, NaN without a positive. A feature of length zero counts as 90 degrees.
    """
    degrees, positive = _degrees(features, weight, labels)
    return degrees.sum() / positive.sum()


def _degrees(features: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The positives' angles in degrees, 0 elsewhere, and where there is a positive: (B, C) each, float64 and bool."""
    features, weight = F.normalize(features, dim=-1), F.normalize(weight, dim=-1)
    if features.shape[1] == 1:
        cosine = features[:, 0] @ weight.T  # (B, C), without a copy of the feature for each label
    else:
        cosine = (features * weight).sum(-1)
    degrees = torch.rad2deg(torch.arccos(cosine.double().clamp(-1, 1)))
    positive = labels > 0.5
    return torch.where(positive, degrees, 0), positive


class AngleMeter:
    """The mean positive angle over a pass, from the same forward calls that give the logits.

        with AngleMeter(network.head) as meter:
            for images, labels in batches:
                logits = network(images)
                meter.update(labels)
        meter.mean(), meter.by_positives()

    It listens to the head's `classifier`. A head without one, and a forward call that does not
    go through it, count for nothing.
    """

    def __init__(self, head: Head) -> None:
        self._classifier: Classifier | None = getattr(head, "classifier", None)
        self._features: Tensor | None = None
        self._sums: Tensor | None = None
        """(2, C + 1) float64: of images with so many positives the sum of these positives' angles, and their number."""

    def __enter__(self) -> "AngleMeter":
        if self._classifier is not None:
            self._hook = self._classifier.register_forward_hook(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._classifier is not None:
            self._hook.remove()

    def _listen(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._features = inputs[0].detach()

    def update(self, labels: Tensor) -> None:
        """Count the last forward call, with its labels (B, C) in {0, 1}: the positives to count. Does not wait."""
        if self._features is not None and self._classifier is not None:
            degrees, positive = _degrees(self._features, self._classifier.weight.detach(), labels)
            number = positive.sum(1)
            # A product with 0 and 1, as adding at indices need not repeat bit for bit on CUDA.
            has = (number[:, None] == torch.arange(labels.shape[1] + 1, device=number.device)).double()
            sums = torch.stack([degrees.sum(1), number.double()]) @ has
            self._sums = sums if self._sums is None else self._sums + sums
        self._features = None

    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Count what others have counted of their shares. total: the sum over all of them, the same for each."""
        self._sums = None if self._sums is None else total(self._sums)

    def mean(self) -> float | None:
        """Degrees; None where no positive was counted. Waits for the device."""
        if self._sums is None:
            return None
        total, count = self._sums.sum(1).tolist()
        return total / count if count else None

    def by_positives(self) -> list[list[float]]:
        """Of the images with M positives: [M, mean angle of their positives in degrees, how many images], M ascending.

        Waits for the device.
        """
        if self._sums is None:
            return []
        sums = zip(*self._sums.tolist(), strict=True)
        return [[m, total / count, round(count / m)] for m, (total, count) in enumerate(sums) if count]
