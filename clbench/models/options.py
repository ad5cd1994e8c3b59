"""What a model is made of. No torch here: the command line lists these options, and torch takes seconds to import."""

from dataclasses import dataclass

from clbench.options import option


@dataclass(frozen=True)
class ModelOptions:
    """Backbone, initial weights and head. PRS (Kim et al., ECCV 2020): resnet101, imagenet, linear."""

    backbone: str = option(
        "resnet101",
        "network from images to a feature map; small: five convolutions; resnets: torchvision's. PRS: resnet101",
        choices=("small", "resnet18", "resnet50", "resnet101", "efficientnet_lite0", "timm:NAME"),
    )
    weights: str = option(
        "none",
        "the backbone's initial weights: none (random), imagenet (torchvision's IMAGENET1K_V1; the package's of "
        "efficientnet_lite0; timm's pretrained ones), or FILE.safetensors",
        path=True,
    )
    weights_trained_on: str = option(
        "", "what FILE.safetensors was trained on, e.g. ImageNet-1k; by default its metadata key trained_on"
    )
    freeze: str = option(
        "none",
        "backbone: it stays as it begins, in evaluation; each image's map is computed once and kept in float16",
        choices=("none", "backbone"),
    )
    head: str = option(
        "linear",
        "linear: one shared feature for all labels; dlfl: one feature per label (Jia et al., arXiv 2212.01461)",
        choices=("linear", "dlfl"),
    )
    dlfl_width: int = option(0, "channels of a label's feature; 0 for as many as the backbone's map has", at_least=0)
    dlfl_heads: int = option(8, "attention heads; must divide the width; our choice, as in the transformer", at_least=1)
    dlfl_steps: int = option(1, "cascaded attention steps (DAFL, Jia et al., AAAI 2022, has several)", at_least=1)
    dlfl_residual: bool = option(False, "add the query to what its attention has pooled; our choice, not the paper's")
    dlfl_norm: bool = option(True, "LayerNorm on every step's label features; our choice, not the paper's")
