"""Backbones: normalised images (B, 3, S, S) float32 -> feature map (B, D, H, W) float32.

`small` is our own; the ResNets (He et al., CVPR 2016, arXiv 1512.03385) are torchvision's, without pooling and `fc`;
`efficientnet_lite0` (Tan and Le, ICML 2019, arXiv 1905.11946, in Google's variant without squeeze-and-excitation) comes
from the package efficientnet_lite_pytorch; `timm:NAME` is any image model of timm. Packages are imported when they are
asked for.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from math import isqrt
from typing import Any

from torch import Tensor, nn

from clbench.errors import ClbenchError, UsageError
from clbench.models.norm import set_norm

SMALL = ((16, 2), (32, 2), (64, 2), (96, 1))
"""(channels, stride) of each convolution of `small`: a 6x6 map from 48 px."""

LITE0 = "efficientnet_lite0"
TIMM = "timm:"
"""What the name of a timm model begins with."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel (red, green, blue), of pixels in [0, 1]: what torchvision's weights expect."""


class Backbone(nn.Module):
    """What every backbone has.

    channels: D of its map. mean, std: per channel, of pixels in [0, 1], what its images are normalised with.
    size: the one height and width in pixels that it takes; None where it takes any.
    classifier: what the keys of a weights file begin with that belong to the file's own classifier.
    """

    channels: int
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    size: int | None = None
    classifier: tuple[str, ...] = ()

    @property
    def body(self) -> nn.Module:
        """The module that a weights file is for."""
        return self


class Layers(nn.Sequential, Backbone):
    """Named layers in a row."""

    def __init__(self, layers: Mapping[str, nn.Module], channels: int, classifier: tuple[str, ...] = ()) -> None:
        super().__init__(OrderedDict(layers))
        self.channels, self.classifier = channels, classifier


class Lite0(Backbone):
    """EfficientNet-Lite0 up to the map. Images are (pixel - 127) / 128, with pixels from 0 to 255."""

    channels = 1280
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    classifier = ("_fc.",)

    def __init__(self) -> None:
        super().__init__()
        self.model = needed("efficientnet_lite_pytorch", LITE0, "lite0").EfficientNet.from_name("efficientnet-lite0")
        self.model._fc = nn.Identity()

    @property
    def body(self) -> nn.Module:
        model: nn.Module = self.model
        return model

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.extract_features(images)
        return features


class Timm(Backbone):
    """A model of timm (Wightman, github.com/huggingface/pytorch-image-models) up to its last feature map.

    Of a transformer, the patch tokens stand as a map, row by row; class and register tokens are dropped. Images are
    normalised as the model's own weights expect.

    Raises:
        UsageError: timm is not installed, or has no such model.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        known_timm_model(name)
        self.model = needed("timm", name, "timm").create_model(name, num_classes=0)
        config = self.model.pretrained_cfg
        self.channels, self.mean, self.std = self.model.num_features, config["mean"], config["std"]
        self.size = config["input_size"][-1] if config.get("fixed_input_size") else None
        heads = config.get("classifier") or ()
        self.classifier = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))

    @property
    def body(self) -> nn.Module:
        model: nn.Module = self.model
        return model

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(images)
        if features.ndim == 3:
            features = features[:, getattr(self.model, "num_prefix_tokens", 0) :]
            side = isqrt(features.shape[1])
            if side**2 == features.shape[1] and features.shape[2] == self.channels:
                return features.transpose(1, 2).reshape(-1, self.channels, side, side)
        elif features.ndim == 4 and features.shape[3] == self.channels and self._last(features):
            return features.permute(0, 3, 1, 2)
        elif features.ndim == 4 and features.shape[1] == self.channels:
            return features
        raise ClbenchError(
            f"Expected a map of {self.channels} channels from {type(self.model).__name__} of timm but got features of "
            f"shape {tuple(features.shape)}; choose another backbone."
        )

    def _last(self, features: Tensor) -> bool:
        """True where channels come last, as in Swin; the model is asked only where the shape leaves it open."""
        return features.shape[1] != self.channels or str(getattr(self.model, "output_fmt", "NCHW")) == "NHWC"


def build_backbone(name: str, norm: str = "batch", groups: int = 8) -> Backbone:
    """A backbone with random weights, drawn from PyTorch's global generator.

    norm, groups: see `set_norm`.

    Raises:
        UsageError: a package that is not installed, a name that timm does not know, or a `norm` that there cannot be.
    """
    if norm != "batch" and (name == LITE0 or name.startswith(TIMM)):
        raise UsageError(f"Expected norm=batch with the backbone {name} but got {norm}; small and the resnets take it.")
    backbone = _backbone(name)
    set_norm(backbone, norm, groups)
    return backbone


def _backbone(name: str) -> Backbone:
    if name == "small":
        return _small()
    if name == LITE0:
        return Lite0()
    if name.startswith(TIMM):
        return Timm(name.removeprefix(TIMM))
    from torchvision.models import get_model

    resnet = get_model(name, weights=None)
    layers = {key: layer for key, layer in resnet.named_children() if key not in ("avgpool", "fc")}
    return Layers(layers, resnet.fc.in_features, classifier=("fc.",))


def known_timm_model(name: str) -> str:
    """The name, `architecture` or `architecture.tag`, if timm has it. Raises UsageError as `Timm` does."""
    timm = needed("timm", f"{TIMM}{name}", "timm")
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=5)
        guess = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them."
        raise UsageError(f"Unknown timm model {architecture!r}; {guess}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UsageError(f"Unknown weights {tag!r} of timm model {architecture}; known: {', '.join(tags) or 'none'}.")
    return name


def needed(package: str, backbone: str, extra: str) -> Any:
    """A package that a backbone needs. Raises UsageError where it is not installed."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Expected the package {package} for the backbone {backbone} but it is not installed; "
            f"pip install 'clbench[{extra}]'."
        ) from error


def _small() -> Backbone:
    layers: dict[str, nn.Module] = {}
    before = 3
    for number, (channels, stride) in enumerate(SMALL, start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm2d(channels)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        before = channels
    return Layers(layers, before)
