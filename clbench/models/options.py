"""What a model is made of. No torch here: the command line lists these options, and torch takes seconds to import."""

from dataclasses import dataclass

from clbench.options import option


@dataclass(frozen=True)
class ModelOptions:
    """Backbone and initial weights. PRS (Kim et al., ECCV 2020): resnet101, imagenet."""

    backbone: str = option(
        "resnet101",
        "network from images to a feature map; small: four convolutions; resnets: torchvision's. PRS: resnet101",
        choices=("small", "resnet18", "resnet50", "resnet101", "efficientnet_lite0", "timm:NAME"),
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
