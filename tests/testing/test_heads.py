"""Every breach of the head's contract is found, and said."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.models.head import Classifier, Head, Rows
from clbench.models.heads.dlfl import DLFLHead
from clbench.models.heads.linear import LinearHead
from clbench.testing import check_head

Patch = pytest.MonkeyPatch


def double(patch: Patch) -> None:
    patch.setattr(LinearHead, "classify", lambda self, features: self.classifier(features).double())


def drawn_again(patch: Patch) -> None:
    plain = LinearHead.__init__
    count = iter(range(100))

    def start(self: Any, *arguments: Any) -> None:
        plain(self, *arguments)
        self.classifier.bias.data.fill_(float(next(count)))

    patch.setattr(LinearHead, "__init__", start)


def flat(patch: Patch) -> None:
    patch.setattr(LinearHead, "features", lambda self, m: m.mean((2, 3)).unsqueeze(1).expand(-1, 2, -1))
    patch.setattr(LinearHead, "classify", lambda self, f: self.classifier(f[:, :1]))


def other_logits(patch: Patch) -> None:
    patch.setattr(LinearHead, "forward", lambda self, m: self.classify(self.features(m)) + 1)


def not_growing(patch: Patch) -> None:
    patch.setattr(Head, "grow", lambda self, num_classes, generator: None)


def growing_unseeded(patch: Patch) -> None:
    plain = Classifier.grow
    seeds = iter(range(100))

    def grow(self: Any, num_classes: int, generator: torch.Generator) -> None:
        plain(self, num_classes, generator.manual_seed(next(seeds)))

    patch.setattr(Classifier, "grow", grow)


def forgetting_rows(patch: Patch) -> None:
    plain = Classifier.grow

    def grow(self: Any, num_classes: int, generator: torch.Generator) -> None:
        plain(self, num_classes, generator)
        self.bias_rows.blocks[0].data += 1

    patch.setattr(Classifier, "grow", grow)


def replacing_rows(patch: Patch) -> None:
    plain = Classifier.grow

    def grow(self: Any, num_classes: int, generator: torch.Generator) -> None:
        plain(self, num_classes, generator)
        self.bias_rows = Rows(self.bias.detach().clone())

    patch.setattr(Classifier, "grow", grow)


def flat_attention(patch: Patch) -> None:
    patch.setattr(DLFLHead, "attention", lambda self, m: torch.ones(len(m), self.num_classes, 20))


def unnormalised(patch: Patch) -> None:
    def attention(self: Head, feature_map: Tensor) -> Tensor:
        return torch.ones(len(feature_map), self.num_classes, *feature_map.shape[2:])

    patch.setattr(DLFLHead, "attention", attention)


@pytest.mark.parametrize(
    ("plant", "head", "sentence"),
    [
        (double, "linear", r"float32 logits \(B, C\)"),
        (drawn_again, "linear", "the global generator's seed alone must decide"),
        (flat, "linear", r"features must be \(B, 1, d\) or \(B, C, d\)"),
        (other_logits, "linear", "logits must be the classified features"),
        (not_growing, "linear", "a head must grow"),
        (growing_unseeded, "linear", "new rows must come from the generator alone"),
        (forgetting_rows, "linear", "classifier.bias_rows.0: old rows must stay"),
        (replacing_rows, "linear", "classifier.bias_rows.0: must stay the parameter it is"),
        (flat_attention, "dlfl", r"attention must be \(B, C, H, W\)"),
        (unnormalised, "dlfl", "Tensor-likes are not close"),
    ],
)
def test_a_breach_is_found(plant: Any, head: str, sentence: str, monkeypatch: Patch) -> None:
    check_head(head)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=sentence):
        check_head(head)
