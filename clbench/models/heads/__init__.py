"""Heads: a feature map (B, D, H, W) -> logits (B, C), through features and one classifier row per label.

`linear` has one feature for all labels (OFML in the words of Jia et al.), `dlfl` a feature of its own for each (OFOL).

A head can grow. The optimiser that was built before knows nothing of the new tensors: the caller makes a new one, or
gives it the new parameters.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A linear classifier for each label: logit_c = w_c . f_c + b_c. Initialised as `nn.Linear`.

    weight: (C, d); bias: (C,).
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(t) for t in _linear_rows(num_classes, width))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, 1, d), shared by all labels, or (B, C, d)."""
        if features.shape[1] == 1:
            return nn.functional.linear(features[:, 0], self.weight, self.bias)
        return (features * self.weight).sum(-1) + self.bias

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        """Rows for so many classes in all; see `Head.grow`."""
        added = num_classes - len(self.weight)
        if added < 0:
            raise ValueError(f"expected at least the {len(self.weight)} classes there are but got {num_classes}")
        weight, bias = _linear_rows(added, self.weight.shape[1], generator)
        self.weight, self.bias = _extended(self.weight, weight), _extended(self.bias, bias)


class Head(nn.Module, ABC):
    """What every head has: `features`, and a `classifier` from them to logits."""

    classifier: Classifier

    @property
    def num_classes(self) -> int:
        """Columns of the logits, as many as it has grown to."""
        return len(self.classifier.weight)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Logits (B, C) of a feature map (B, D, H, W)."""
        return self.classify(self.features(feature_map))

    @abstractmethod
    def features(self, feature_map: Tensor) -> Tensor:
        """What labels are scored by: (B, 1, d) for one shared feature, (B, C, d) for one per label."""

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, C) of `features`."""
        logits: Tensor = self.classifier(features)
        return logits

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        """Add classes, up to `num_classes` in all: old rows keep their values, new ones are drawn from `generator`.

        Old logits may change in their last bit: in what order a matrix product adds up depends on its shape.
        generator: on the CPU. Raises ValueError for fewer classes than there are.
        """
        self.classifier.grow(num_classes, generator)


def _linear_rows(rows: int, width: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Weight (rows, width) and bias (rows,), both uniform in +-1 / sqrt(width), as `nn.Linear` begins."""
    bound = width**-0.5
    weight, bias = torch.empty(rows, width), torch.empty(rows)
    return weight.uniform_(-bound, bound, generator=generator), bias.uniform_(-bound, bound, generator=generator)


def _extended(old: nn.Parameter, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([old.detach(), rows.to(old)]), requires_grad=old.requires_grad)
