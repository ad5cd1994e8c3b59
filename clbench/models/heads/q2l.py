"""Query2Label: learned label queries that a small transformer fills from the map, layer by layer.

    encoder, 1 layer:   X = LN(X + MHA(X + P, X + P, X));  X = LN(X + FFN(X))
    decoder, 2 layers:  Y = LN(Y + MHA(Y + U, X + P, X));  Y = LN(Y + FFN(Y))
    logit_c = w_c . LN(Y)_c + b_c

with sine positions P and label queries U; Y begins at 0.

Labels do not attend to each other (the released default), so a label can be added by adding its query and its row.

Source: Liu, Zhang, Yang, Su, Zhu, "Query2Label: A Simple Transformer Way to Multi-Label Classification", arXiv
2107.10834 (layers and defaults read in a reader's note on the released code, of commit 55eb050).

Matched: logits are a reference in NumPy, in double precision, written from the equations, within 1e-5
(tests/models/heads/test_q2l.py::test_logits_are_the_equations_written_out). Without positions the encoder is PyTorch's
`TransformerEncoderLayer` with the same weights, within 1e-5
(tests/models/heads/test_q2l.py::test_without_positions_the_encoder_is_pytorchs). Sine positions by hand, within 1e-6
(tests/models/heads/test_q2l.py::test_positions_by_hand). Growing keeps old rows exactly, and old logits within 1e-6
(tests/models/test_head.py::test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding).

Differs: layers begin as PyTorch's do, not Xavier-uniform throughout; the run's optimiser, loss and learning rate for
all weights.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; with the paper's backbones, loss,
schedule, augmentation or averaged weights; to any number of the paper.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clbench.errors import UsageError
from clbench.models.head import Classifier, Head, Rows, divided
from clbench.options import option

WAVELENGTH = 10_000.0
"""Ratio of the longest of the sine positions' wavelengths to the shortest."""


@dataclass(frozen=True)
class TransformerOptions:
    """Options of the transformer; defaults are the released code's."""

    width: int = option(
        0, "channels; 0 for as many as the backbone's map has, as released; must divide by 4", at_least=0
    )
    heads: int = option(4, "attention heads; must divide the width", at_least=1)
    feedforward: int = option(8192, "hidden units of the feed-forward layers", at_least=1)
    encoder_layers: int = option(1, "layers over the map alone", at_least=0)
    decoder_layers: int = option(2, "layers in which queries read the map", at_least=1)
    dropout: float = option(0.1, "share of units dropped while training", at_least=0.0)


class Layer(nn.Module):
    """Attention, then a feed-forward layer; each added to what came in, with LayerNorm after it."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feedforward, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, at: Tensor | float, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, d) with its positions, or queries, `at`, reads (B, P, d): the new x, and attention (B, N, P)."""
        read, attention = self.attend(x + at, keys, values)  # with weights, which is the way that repeats bit for bit
        x = self.norms[0](x + self.dropout(read))
        return self.norms[1](x + self.dropout(self.feedforward(x))), attention


class Query2LabelHead(Head):
    """An encoder over positions, a decoder from label queries, one row for each label."""

    Options = TransformerOptions

    def __init__(self, options: TransformerOptions, channels: int, num_classes: int) -> None:
        super().__init__(options, channels, num_classes)
        width = divided(options.width or channels, options.heads)
        if width % 4:
            raise UsageError(
                f"Expected a width that 4 divides, for sine positions, but got {width}; change head.width."
            )
        layer = width, options.heads, options.feedforward, options.dropout
        self.query_rows = Rows(torch.randn(num_classes, width))
        self.project = nn.Identity() if width == channels else nn.Linear(channels, width)
        self.encoder = nn.ModuleList(Layer(*layer) for _ in range(options.encoder_layers))
        self.decoder = nn.ModuleList(Layer(*layer) for _ in range(options.decoder_layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = Classifier(num_classes, width)

    def features(self, feature_map: Tensor) -> Tensor:
        return self._decode(feature_map)[0]

    def attention(self, feature_map: Tensor) -> Tensor:
        """Where each label looks in the last layer, mean over heads: (B, C, H, W), sums to 1 over H x W."""
        return self._decode(feature_map)[1].reshape(len(feature_map), -1, *feature_map.shape[2:])

    def _decode(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Label features (B, C, width), and attention (B, C, P)."""
        x = self.project(feature_map.flatten(2).transpose(1, 2))
        positions = sine_positions(*feature_map.shape[2:], width=x.shape[2], like=x)
        for layer in self.encoder:
            x, _ = layer(x, positions, x + positions, x)
        queries = self.query_rows()
        y = queries.new_zeros(len(x), *queries.shape)
        for layer in self.decoder:
            y, attention = layer(y, queries, x + positions, x)
        return self.norm(y), attention

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        super().grow(num_classes, generator)
        self.query_rows.grow_normal(num_classes, generator)


def sine_positions(height: int, width_of_map: int, *, width: int, like: Tensor) -> Tensor:
    """Positions (P, width) of a map, row by row: the first half of the channels says the row, the second the column.

    A place is counted from 1 and scaled so that the last one is 2 pi; channels 2i and 2i + 1 of a half are sine and
    cosine of it over WAVELENGTH^(2i / half).
    """
    half = width // 2
    divisors = WAVELENGTH ** (torch.arange(0, half, 2, dtype=like.dtype, device=like.device) / half)

    def along(size: int) -> Tensor:
        places = 2 * math.pi * torch.arange(1, size + 1, dtype=like.dtype, device=like.device) / size
        angles = places[:, None] / divisors
        return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)

    rows, columns = along(height)[:, None], along(width_of_map)[None]
    shape = height, width_of_map, half
    return torch.cat([rows.expand(shape), columns.expand(shape)], -1).flatten(0, 1)
