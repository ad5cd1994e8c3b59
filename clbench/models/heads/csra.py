"""Class-specific residual attention: each label's mean score over the map, and that of where it scores high.

With s_ck = w_c . x_k / |w_c| the score of label c at position k, no weights besides w_c are learned:

    logit_c = sum over heads of
              mean_k s_ck + lambda sum_k softmax_k(T s_ck) s_ck,  and + b_c

Each head has its own w and its own temperature T, the last one of several T = infinity, which is the maximum.

Source: Zhu and Wu, "Residual Attention: A Simple but Effective Method for Multi-Label Recognition" (CSRA), ICCV 2021,
arXiv 2108.02456 (the equations read in a reader's note, with the temperatures, lambda and schedules of the released
code, which was not taken over: it is AGPL).

Matched: logits are a loop over labels, positions and temperatures in NumPy, in double precision, within 1e-5
(tests/models/heads/test_csra.py::test_logits_are_the_equation_written_out). With T = infinity the second part is the
maximum over positions, within 1e-6 (tests/models/heads/test_csra.py::test_the_last_temperature_is_the_maximum). A map
that is the same everywhere gives 1 + lambda times the score of a linear head with normalised rows, within 1e-6
(tests/models/heads/test_csra.py::test_on_an_even_map_it_is_a_linear_head_with_normalised_rows). Growing keeps old rows
exactly, and old logits within 1e-6
(tests/models/test_head.py::test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding).

Differs: written as one feature for each label, mean_k x_k + lambda sum_k softmax_k(T s_ck) x_k, so that its angle to
the label's row can be recorded; a bias for each label, as our other heads have, where CSRA has none; the run's learning
rate for all weights, where CSRA's head has ten times the backbone's; rows begin as `nn.Linear` does.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; with the paper's backbones, schedules
or augmentation; to any number of the paper.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.models.head import Classifier, Head
from clbench.options import option

TEMPERATURES = {
    "1": (1.0,),
    "2": (1.0, math.inf),
    "4": (1.0, 2.0, 4.0, math.inf),
    "6": (1.0, 2.0, 3.0, 4.0, 5.0, math.inf),
    "8": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, math.inf),
}
"""Number of heads -> the temperature of each."""


@dataclass(frozen=True)
class CSRAOptions:
    """Options of the residual attention. CSRA: 1 head and 0.1 on VOC, 4 heads and 0.5 on COCO (ResNet-101)."""

    heads: str = option(
        "1", "attention heads, each with rows and a temperature of its own", choices=tuple(TEMPERATURES)
    )
    residual: float = option(0.1, "lambda, the weight of the attention", at_least=0.0, search=(0.05, 1.0, "log"))


class CSRAHead(Head):
    """Rows (C, heads x D), one block of D for each head; features of the same shape for each image."""

    Options = CSRAOptions

    def __init__(self, options: CSRAOptions, channels: int, num_classes: int) -> None:
        super().__init__(options, channels, num_classes)
        self.temperatures = TEMPERATURES[options.heads]
        self.classifier = NormalisedRows(num_classes, channels, len(self.temperatures))

    def features(self, feature_map: Tensor) -> Tensor:
        positions = feature_map.flatten(2).transpose(1, 2)  # (B, P, D)
        parts = [self.options.residual * a @ positions for a in self._attentions(positions)]
        return torch.cat([positions.mean(1, keepdim=True) + part for part in parts], -1)

    def attention(self, feature_map: Tensor) -> Tensor:
        """What each position weighs in a label's features, mean over heads: (B, C, H, W), sums to 1 over H x W."""
        positions = feature_map.flatten(2).transpose(1, 2)
        residual = self.options.residual
        pooled = torch.stack(self._attentions(positions)).mean(0)
        weights: Tensor = (1 / positions.shape[1] + residual * pooled) / (1 + residual)
        return weights.reshape(len(feature_map), -1, *feature_map.shape[2:])

    def _attentions(self, positions: Tensor) -> list[Tensor]:
        """Of each head softmax_k(T s_ck): (B, C, P)."""
        rows = self.classifier.normalised()  # (C, heads, D)
        scores = torch.einsum("bpd,chd->hbcp", positions, rows)
        return [_softmax(s, t) for s, t in zip(scores, self.temperatures, strict=True)]

    classifier: "NormalisedRows"


class NormalisedRows(Classifier):
    """A classifier whose rows count by their direction alone: logit_c = sum over heads of w_c . f_c / |w_c|, + b_c."""

    def __init__(self, num_classes: int, channels: int, heads: int) -> None:
        super().__init__(num_classes, heads * channels)
        self.heads, self.channels = heads, channels

    def normalised(self) -> Tensor:
        """w / |w|: (C, heads, D)."""
        return F.normalize(super().weight.reshape(-1, self.heads, self.channels), dim=-1)

    @property
    def weight(self) -> Tensor:
        """The rows that features are multiplied with: (C, heads x D)."""
        return self.normalised().flatten(1)


def _softmax(scores: Tensor, temperature: float) -> Tensor:
    """Over the last axis; with an infinite temperature 1 at the first maximum, which passes no gradient."""
    if math.isinf(temperature):
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)
    return (temperature * scores).softmax(-1)
