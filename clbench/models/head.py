"""The Head contract: a feature map (B, D, H, W) -> logits (B, C), through features and one classifier row per label.

A head can grow: its parameters stay the objects they are, and what is added is parameters of its own (`Rows`). The
optimiser that was built before knows nothing of them: the caller makes a new one, or tells the old one
(`clbench.learning.optim`).
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clbench.errors import UsageError
from clbench.options import NoOptions


class Rows(nn.Module):
    """One row for each class, which can grow: a block for the first ones, and another for those of each growth.

    Each block is a parameter of its own, so an optimiser begins new rows as it begins any parameter and leaves old ones
    as they are (Adam counts its steps by the parameter), and each can be frozen by itself.
    """

    def __init__(self, rows: Tensor) -> None:
        """rows: (C, ...), the first ones; any dtype with gradients."""
        super().__init__()
        self.register_parameter("0", nn.Parameter(rows))

    def __len__(self) -> int:
        """Rows of all blocks together."""
        return sum(len(block) for block in self.blocks)

    @property
    def blocks(self) -> tuple[nn.Parameter, ...]:
        """The parameters, the oldest first."""
        return tuple(self.parameters())

    def forward(self) -> Tensor:
        """All rows: (C, ...). While there is one block, the parameter itself."""
        blocks = self.blocks
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def grow_normal(self, count: int, generator: torch.Generator) -> None:
        """Grow to so many rows in all, new ones normally distributed with standard deviation 1, as `torch.randn`."""
        self.grow(torch.randn(count - len(self), *self.blocks[-1].shape[1:], generator=generator))

    def grow(self, rows: Tensor) -> None:
        """Add a block, unless it is empty: on the device of the last one, and trainable if that is."""
        last = self.blocks[-1]
        if len(rows):
            block = nn.Parameter(rows.to(last), requires_grad=last.requires_grad)
            self.register_parameter(str(len(self.blocks)), block)


class Classifier(nn.Module):
    """A linear classifier for each label: logit_c = w_c . f_c + b_c. Initialised as `nn.Linear`."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.weight_rows, self.bias_rows = (Rows(t) for t in _linear_rows(num_classes, width))

    @property
    def weight(self) -> Tensor:
        """w: (C, d)."""
        weight: Tensor = self.weight_rows()
        return weight

    @property
    def bias(self) -> Tensor:
        """b: (C,)."""
        bias: Tensor = self.bias_rows()
        return bias

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, 1, d), shared by all labels, or (B, C, d)."""
        if features.shape[1] == 1:
            return nn.functional.linear(features[:, 0], self.weight, self.bias)
        return (features * self.weight).sum(-1) + self.bias

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        """Rows for so many classes in all; see `Head.grow`."""
        added = num_classes - len(self.weight_rows)
        if added < 0:
            raise ValueError(f"expected at least the {len(self.weight_rows)} classes there are but got {num_classes}")
        weight, bias = _linear_rows(added, self.weight.shape[1], generator)
        self.weight_rows.grow(weight)
        self.bias_rows.grow(bias)


class Head(nn.Module, ABC):
    """One subclass per file; the file's name is the head's name on the command line (`--head`).

    A subclass makes its tensors in `__init__` from PyTorch's global generator, which the run has seeded, and sets
    `classifier`. One that has no such classifier leaves it out and overrides `num_classes`, `classify` and `grow`; then
    the angle between features and classifiers is not recorded.
    """

    Options: ClassVar[type[Any]] = NoOptions
    classifier: Classifier

    def __init__(self, options: Any, channels: int, num_classes: int) -> None:
        """options: an instance of `Options`. channels: D of the feature map. num_classes: C, to begin with."""
        super().__init__()
        self.options = options

    @property
    def num_classes(self) -> int:
        """Columns of the logits, as many as it has grown to."""
        return len(self.classifier.weight_rows)

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

    def attention(self, feature_map: Tensor) -> Tensor | None:
        """Where each label looks: (B, C, H, W), at least 0, sums to 1 over H x W; None for a head that looks nowhere.

        Whether it is None must not depend on the map.
        """
        return None

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        """Add classes, up to `num_classes` in all: new rows are drawn from `generator`, as parameters of their own.

        The parameters there are stay, as objects and in value; a new one stands right behind the one whose learning
        rate it is to have. `Rows` does so. Old logits may change in their last bit: in what order a matrix product adds
        up depends on its shape.
        generator: on the CPU. Raises ValueError for fewer classes than there are.
        """
        self.classifier.grow(num_classes, generator)


def divided(width: int, heads: int) -> int:
    """The width. Raises UsageError where attention heads do not divide it."""
    if width % heads:
        raise UsageError(
            f"Expected a number of attention heads that divides the width {width} but got {heads}; "
            "change --set head.heads or head.width."
        )
    return width


def _linear_rows(rows: int, width: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Weight (rows, width) and bias (rows,), both uniform in +-1 / sqrt(width), as `nn.Linear` begins."""
    bound = width**-0.5
    weight, bias = torch.empty(rows, width), torch.empty(rows)
    return weight.uniform_(-bound, bound, generator=generator), bias.uniform_(-bound, bound, generator=generator)
