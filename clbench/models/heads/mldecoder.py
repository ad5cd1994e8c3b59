"""ML-Decoder: one query for each label, fixed at random, that a transformer decoder layer without self-attention fills.

    X = ReLU(W x_k + b) at each position
    t = LN(2 q_c);  t = LN(t + MHA(t, X, X));  t = LN(t + FFN(t))

Queries are not learned, and labels do not see each other, so a label can be added by adding its query and its row.

Source: Ridnik, Sharir, Ben-Cohen, Ben-Baruch, Noy, "ML-Decoder: Scalable and Versatile Classification Head", WACV 2023,
arXiv 2111.12933 (the layer read in a reader's note on the released code, of commit 8a9e984).

Matched: without dropout the features are those of PyTorch's `TransformerDecoderLayer` with the same weights, whose
self-attention is silenced, within 1e-5
(tests/models/heads/test_mldecoder.py::test_features_are_pytorchs_decoder_layer_without_self_attention). Queries are
never learned (tests/models/heads/test_mldecoder.py::test_queries_are_fixed). Growing keeps old rows exactly, and old
logits within 1e-6 (tests/models/test_head.py::test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding).

Differs: a query for each label and no group decoding, as groups would change when labels are added; the original has at
most 100 queries by default. Rows of the classifier begin as `nn.Linear` does, not Xavier-normal.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; with the paper's backbone (TResNet),
loss, schedule, augmentation or averaged weights; to any number of the paper.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clbench.models.head import Classifier, Head, Rows, divided
from clbench.models.heads.q2l import Layer
from clbench.options import option


@dataclass(frozen=True)
class DecoderOptions:
    """Options of the decoder layer; defaults are the paper's code's."""

    width: int = option(768, "channels of queries and tokens; 0 for as many as the backbone's map has", at_least=0)
    heads: int = option(8, "attention heads; must divide the width", at_least=1)
    feedforward: int = option(2048, "hidden units of the feed-forward layer", at_least=1)
    dropout: float = option(0.1, "share of units dropped while training", at_least=0.0)


class MLDecoderHead(Head):
    """Fixed random queries, one decoder layer, one row for each label."""

    Options = DecoderOptions

    def __init__(self, options: DecoderOptions, channels: int, num_classes: int) -> None:
        super().__init__(options, channels, num_classes)
        width = divided(options.width or channels, options.heads)
        self.query_rows = Rows(torch.randn(num_classes, width)).requires_grad_(False)
        self.embed = nn.Linear(channels, width)  # at each position: 1x1
        self.norm = nn.LayerNorm(width)
        self.layer = Layer(width, options.heads, options.feedforward, options.dropout)
        self.dropout = nn.Dropout(options.dropout)
        self.classifier = Classifier(num_classes, width)

    def features(self, feature_map: Tensor) -> Tensor:
        return self._decode(feature_map)[0]

    def attention(self, feature_map: Tensor) -> Tensor:
        """Where each label looks, mean over heads: (B, C, H, W), sums to 1 over H x W."""
        return self._decode(feature_map)[1].reshape(len(feature_map), -1, *feature_map.shape[2:])

    def _decode(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Label features (B, C, width), and attention (B, C, P)."""
        tokens = self.embed(feature_map.flatten(2).transpose(1, 2)).relu()
        queries = self.query_rows().expand(len(tokens), -1, -1)
        features, attention = self.layer(self.norm(queries + self.dropout(queries)), 0.0, tokens, tokens)
        return features, attention

    def grow(self, num_classes: int, generator: torch.Generator) -> None:
        super().grow(num_classes, generator)
        self.query_rows.grow_normal(num_classes, generator)
