"""What a model is made of. No torch here: the command line lists these options, and torch takes seconds to import."""

from dataclasses import dataclass

from clbench.options import option

BACKBONES = {
    "small": "four convolutions, 96 channels; random weights or your own",
    "resnet18": "torchvision's (He et al., CVPR 2016, arXiv 1512.03385), 512 channels",
    "resnet50": "torchvision's, 2048 channels",
    "resnet101": "torchvision's, 2048 channels; PRS's",
    "efficientnet_lite0": "Tan and Le, ICML 2019, arXiv 1905.11946, 1280 channels; extra lite0",
    "timm:NAME": "any image model of timm; extra timm",
}
"""Backbone -> what it is, its map's channels, and the extra that it needs."""

RESNET = 'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385'
SOURCES = {
    "small": "none; ours",
    "resnet18": RESNET,
    "resnet50": RESNET,
    "resnet101": RESNET,
    "efficientnet_lite0": (
        'Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, arXiv '
        "1905.11946"
    ),
    "timm:NAME": "that of the model, which its page in timm (github.com/huggingface/pytorch-image-models) names",
}
"""Backbone -> its source, in the form of `clbench.report.bibtex`; titles as torchvision's documentation has them."""


@dataclass(frozen=True)
class ModelOptions:
    """Backbone and initial weights. PRS (Kim et al., ECCV 2020): resnet101, imagenet."""

    backbone: str = option(
        "resnet101",
        "network from images to a feature map; small: four convolutions; resnets: torchvision's. PRS: resnet101",
        choices=tuple(BACKBONES),
    )
    norm: str = option(
        "batch",
        "normalisation in small and the resnets: batch, group, or continual (Pham et al., arXiv 2203.16102), which is "
        "batch after group",
        choices=("batch", "group", "continual"),
        neutral="batch",
    )
    norm_groups: int = option(
        8, "groups of channels with norm=group or continual; 4 in its authors' runs on COCOseq", at_least=1, neutral=8
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
