"""One feature per label: learned label queries that pool the map by cross-attention, in the style of DLFL.

Source: Jia et al., "Learning Disentangled Label Representations for Multi-label Classification" (DLFL), arXiv
2212.01461 (abstract read), with the cascade of their DAFL (AAAI 2022, doi 10.1609/aaai.v36i1.19991; abstract and a
reader's note read, which has the attention's equation): Q of a step is F' of the step before.

Matched: an attention step is PyTorch's `MultiheadAttention` with the same weights, features and maps within 1e-6
(tests/models/heads/test_dlfl.py::test_attention_is_pytorchs_with_the_same_weights). A later step's queries are the
features of the step before, within 1e-6
(tests/models/heads/test_dlfl.py::test_a_later_steps_queries_are_the_features_of_the_step_before). Growing keeps old
queries and rows exactly, and old logits within 1e-6
(tests/models/test_head.py::test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding).

Differs: no reproduction. Our choices, where we do not know theirs: each step has its own weights and only the last one
is classified; queries begin normally distributed with standard deviation 1; heads, residual and LayerNorm as given; a
1x1 projection where `width` is not the map's channels; no self-attention, feed-forward layer or positional encoding;
and none of DAFL's group attention merging, nor its third loss. With `freeze_queries` the classifiers of old labels
learn on; KBK's do not.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; with the backbones of the paper
(ResNet-101, Swin) beyond a forward pass; to any number of the paper.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clbench.models.head import Classifier, Head, Rows, divided
from clbench.options import option


@dataclass(frozen=True)
class QueryOptions:
    """Options of the label queries and their attention."""

    width: int = option(0, "channels of a label's feature; 0 for as many as the backbone's map has", at_least=0)
    heads: int = option(8, "attention heads; must divide the width; our choice, as in the transformer", at_least=1)
    steps: int = option(1, "cascaded attention steps (DAFL, Jia et al., AAAI 2022, has several)", at_least=1)
    residual: bool = option(False, "add the query to what its attention has pooled; our choice, not the paper's")
    norm: bool = option(True, "LayerNorm on every step's label features; our choice, not the paper's")
    freeze_queries: bool = option(
        False,
        "a task's queries stay as they are from the next task on, as in KBK (arXiv 2608.30316); only where the head "
        "grows with the tasks: one that has all classes from the start learns as without it",
        neutral=False,
    )


class CrossAttention(nn.Module):
    """Semantic spatial cross-attention (SSCA), one step: each query pools the positions that it attends to.

    A = softmax over positions of theta(Q) phi(F) / sqrt(d), and F' = A psi(F), each map affine but phi, whose offset
    would not act. Several heads with an output projection
    and the scale 1 / sqrt(d per head), as in the transformer (Vaswani et al., NeurIPS 2017, arXiv 1706.03762).
    """

    def __init__(self, width: int, heads: int, *, residual: bool, norm: bool) -> None:
        super().__init__()
        divided(width, heads)
        self.heads = heads
        self.residual = residual
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        # A bias of the keys would add the same to all positions of a query, which the softmax does not see.
        self.key = nn.Linear(width, width, bias=False)
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
    """Learned label queries that pool one feature per label (OFOL in the paper's words)."""

    Options = QueryOptions

    def __init__(self, options: QueryOptions, channels: int, num_classes: int) -> None:
        super().__init__(options, channels, num_classes)
        width = options.width or channels
        project = nn.Identity() if width == channels else nn.Linear(channels, width)  # at each position: 1x1
        self.query_rows = Rows(torch.randn(num_classes, width))  # registered first: sums over parameters go in order
        self.project = project
        self.steps = nn.ModuleList(
            CrossAttention(width, options.heads, residual=options.residual, norm=options.norm)
            for _ in range(options.steps)
        )
        self.classifier = Classifier(num_classes, width)

    @property
    def queries(self) -> Tensor:
        """(C, width)."""
        queries: Tensor = self.query_rows()
        return queries

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
        self.query_rows.grow_normal(num_classes, generator)
        if self.options.freeze_queries:
            for old in self.query_rows.blocks[:-1]:
                old.requires_grad_(False)
