"""Heads: a feature map (B, D, H, W) -> logits (B, C), through features and one classifier row per label.

`linear` has one feature for all labels (OFML in the words of Jia et al.), `dlfl` a feature of its own for each (OFOL).

A head can grow. The optimiser that was built before knows nothing of the new tensors: the caller makes a new one, or
gives it the new parameters.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from clbench.errors import UsageError


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


class LinearHead(Head):
    """Global average pooling, then one linear layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = Classifier(num_classes, channels)

    def features(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean((2, 3)).unsqueeze(1)


class CrossAttention(nn.Module):
    """Semantic spatial cross-attention (SSCA), one step: each query pools the positions that it attends to.

    A = softmax over positions of theta(Q) phi(F) / sqrt(d), and F' = A psi(F). Several heads with an output projection
    and the scale 1 / sqrt(d per head), as in the transformer (Vaswani et al., NeurIPS 2017, arXiv 1706.03762).
    """

    def __init__(self, width: int, heads: int, *, residual: bool, norm: bool) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(
                f"Expected a number of attention heads that divides the width {width} but got {heads}; "
                "change dlfl_heads or dlfl_width."
            )
        self.heads = heads
        self.residual = residual
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()

    def forward(self, queries: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Label features (B, C, d) and attention (B, heads, C, P), from queries (B or 1, C, d), positions (B, P, d).

        Written out, not `scaled_dot_product_attention`: the backward pass of its fused CUDA kernels need not repeat
        bit for bit, and with a few hundred positions there is little to gain.
        """
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, C or P, d per head)
            for layer, x in ((self.query, queries), (self.key, positions), (self.value, positions))
        )
        attention = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        pooled: Tensor = self.out((attention @ v).transpose(1, 2).flatten(2))
        features: Tensor = self.norm(queries + pooled if self.residual else pooled)
        return features, attention


class DLFLHead(Head):
    """Learned label queries that pool one feature per label: in the style of DLFL, not a reproduction.

    Jia et al., "Learning Disentangled Label Representations for Multi-label Classification" (DLFL), arXiv 2212.01461,
    with the cascade of their DAFL (AAAI 2022, doi 10.1609/aaai.v36i1.19991): Q of a step is F' of the step before.
    Our choices, where we do not know theirs: each step has its own weights and only the last one is classified; queries
    begin normally distributed with standard deviation 1; heads, residual and LayerNorm as given; a 1x1 projection where
    `width` is not the map's channels; no self-attention, feed-forward layer or positional encoding; and none of DAFL's
    group attention merging.

    queries: (C, width).
    """

    def __init__(
        self, channels: int, num_classes: int, *, width: int, heads: int, steps: int, residual: bool, norm: bool
    ) -> None:
        super().__init__()
        self.project = nn.Identity() if width == channels else nn.Linear(channels, width)  # at each position: 1x1
        self.queries = nn.Parameter(torch.randn(num_classes, width))
        self.steps = nn.ModuleList(CrossAttention(width, heads, residual=residual, norm=norm) for _ in range(steps))
        self.classifier = Classifier(num_classes, width)

    def features(self, feature_map: Tensor) -> Tensor:
        return self._pool(feature_map)[0]

    def attention(self, feature_map: Tensor) -> Tensor:
        """Where each label looks in the last step, mean over heads: (B, C, H, W), sums to 1 over H x W."""
        return self._pool(feature_map)[1].mean(1).reshape(len(feature_map), -1, *feature_map.shape[2:])

    def _pool(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        positions = self.project(feature_map.flatten(2).transpose(1, 2))
        # Without a batch dimension of their own, queries are projected once, not once for each image.
        features = self.queries.unsqueeze(0)
        for step in self.steps:
            features, attention = step(features, positions)
        return features, attention

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        super().grow(num_classes, generator)
        shape = (num_classes - len(self.queries), self.queries.shape[1])
        self.queries = _extended(self.queries, torch.randn(shape, generator=generator))


def _linear_rows(rows: int, width: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Weight (rows, width) and bias (rows,), both uniform in +-1 / sqrt(width), as `nn.Linear` begins."""
    bound = width**-0.5
    weight, bias = torch.empty(rows, width), torch.empty(rows)
    return weight.uniform_(-bound, bound, generator=generator), bias.uniform_(-bound, bound, generator=generator)


def _extended(old: nn.Parameter, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([old.detach(), rows.to(old)]), requires_grad=old.requires_grad)
