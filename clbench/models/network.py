"""The model of a run: images -> backbone -> feature map -> head -> logits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clbench import plugins
from clbench.errors import UsageError
from clbench.models.backbones import Backbone, build_backbone
from clbench.models.head import Head
from clbench.models.options import ModelOptions
from clbench.models.weights import load_weights, weights_record
from clbench.randomness import derive

__all__ = ["Network", "build_model", "weights_record"]


def _unheard(inputs: Tensor, feature_map: Tensor) -> None:
    """Nobody counts."""


def _all_here(inputs: Tensor, logits: Tensor) -> Tensor:
    """No other process has a share of the batch."""
    return logits


class Network(nn.Module):
    """Logits of images as they are stored; normalises them on their device.

    passed: hears of every pass, its inputs and the map that they gave; who counts them sets it.
    joined: the logits of a whole batch, from inputs and logits of a share of it; who shares batches out sets it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = False
        self.passed: Callable[[Tensor, Tensor], None] = _unheard
        self.joined: Callable[[Tensor, Tensor], Tensor] = _all_here
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    def freeze(self) -> "Network":
        """Hold the backbone as it is: no gradients, and in evaluation for good. Returns the network."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        """As `nn.Module.train`, but a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) float32 of a batch's inputs; see `map_of`."""
        return self.joined(inputs, self.head(self.map_of(inputs)))

    def map_of(self, inputs: Tensor) -> Tensor:
        """The backbone's map (B, D, H, W) float32 of a batch's inputs: the one door for pixels and for maps.

        inputs: pixels, uint8 (B, 3, S, S); or, with a frozen backbone, its maps as they are kept, float16.
        """
        features = self.feature_map(inputs) if inputs.dtype == torch.uint8 else inputs.to(self.mean.dtype)
        self.passed(inputs, features)
        return features

    def feature_map(self, images: Tensor) -> Tensor:
        """The backbone's map (B, D, H, W) float32 of images, uint8 (B, 3, S, S).

        Raises:
            UsageError: images of another size than the one that the backbone takes.
        """
        size = self.backbone.size
        if size is not None and images.shape[-1] != size:
            raise UsageError(
                f"Expected images of {size} px for this backbone but the scenario's have {images.shape[-1]}; set its "
                "image_size if it has one, or choose a backbone that takes any size."
            )
        features: Tensor = self.backbone((images.float() / 255 - self.mean) / self.std)
        return features

    @property
    def parameter_count(self) -> int:
        """Trainable numbers, backbone and head together."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def build_model(
    options: ModelOptions, num_classes: int, seed: int, *, head: str = "linear", head_options: Any = None
) -> Network:
    """A network with initial weights, on the CPU.

    head: its name. head_options: an instance of its `Options`; their defaults without one.
    Backbone and head are drawn from generators of their own, so the backbone begins the same under every head. The
    global generator is left as it was.

    Raises:
        UsageError: no such head, options that do not fit it, or weights that there cannot be.
        DataError: weights that are missing, damaged, or do not fit the backbone.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the CUDA generators too, which this fork does not restore.
        torch.default_generator.manual_seed(derive(seed, "init", "backbone"))
        backbone = build_backbone(options.backbone, options.norm, options.norm_groups)
        channels = backbone.channels
        torch.default_generator.manual_seed(derive(seed, "init", "head"))
        head_class = plugins.load("head", head)
        built = head_class(head_class.Options() if head_options is None else head_options, channels, num_classes)
        load_weights(backbone, options)
    network = Network(backbone, built)
    return network.freeze() if options.freeze == "backbone" else network
