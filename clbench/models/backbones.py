"""Backbones: normalised images (B, 3, S, S) float32 -> feature map (B, D, H, W) float32; and their initial weights.

`small` is our own; the ResNets (He et al., CVPR 2016, arXiv 1512.03385) are torchvision's, without pooling and `fc`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from clbench.errors import DataError, UsageError
from clbench.files import sha256
from clbench.models.options import ModelOptions

SMALL = ((32, 2), (64, 2), (96, 1), (96, 2), (96, 1))
"""(channels, stride) of each convolution of `small`: an 8x8 map from 64 px."""

IMAGENET = "IMAGENET1K_V1"
"""torchvision's name for its weights of 2020, when PRS used them. Its V2, from a newer recipe, came later."""


class Backbone(nn.Sequential):
    """Named layers in a row. channels: D of the map that they give."""

    def __init__(self, layers: Mapping[str, nn.Module], channels: int) -> None:
        super().__init__(OrderedDict(layers))
        self.channels = channels


def build_backbone(name: str) -> Backbone:
    """A backbone with random weights, drawn from PyTorch's global generator."""
    if name == "small":
        return _small()
    resnet = get_model(name, weights=None)
    layers = {key: layer for key, layer in resnet.named_children() if key not in ("avgpool", "fc")}
    return Backbone(layers, resnet.fc.in_features)


def _small() -> Backbone:
    layers: dict[str, nn.Module] = {}
    before = 3
    for number, (channels, stride) in enumerate(SMALL, start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm2d(channels)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        before = channels
    return Backbone(layers, before)


def weights_record(options: ModelOptions) -> dict[str, Any]:
    """Where the initial weights come from: `source` (none, imagenet, file), `name`, and `sha256` of the file.

    Raises DataError and UsageError as `load_weights` does.
    """
    if options.weights == "none":
        return {"source": "none", "name": None, "sha256": None}
    path = _weights_file(options)
    if options.weights == "imagenet":
        return {"source": "imagenet", "name": str(_imagenet(options)), "sha256": sha256(path)}
    return {"source": "file", "name": path.name, "sha256": sha256(path)}


def load_weights(backbone: Backbone, options: ModelOptions) -> None:
    """Give a backbone its initial weights; `none` leaves it as it is. A ResNet file's classifier (`fc.*`) is ignored.

    Raises:
        UsageError: weights that are neither none, imagenet nor a .safetensors file; imagenet for `small`.
        DataError: a file that is missing, cannot be downloaded, is damaged, or does not fit the backbone.
    """
    if options.weights == "none":
        return
    path = _weights_file(options)
    state = _read(path)
    if options.backbone != "small":
        state = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    problem = _mismatch(backbone.state_dict(), state)
    if problem:
        raise DataError(f"Expected weights of a {options.backbone} in {path} but {problem}; choose another file.")
    backbone.load_state_dict(state)


def _weights_file(options: ModelOptions) -> Path:
    """The file with the weights, downloaded to torch's cache if need be."""
    if options.weights == "imagenet":
        return _imagenet_file(options)
    path = Path(options.weights)
    if path.suffix != ".safetensors":
        raise UsageError(f"Expected weights to be none, imagenet or FILE.safetensors but got {options.weights!r}.")
    if not path.is_file():
        raise DataError(f"Expected weights in {path} but there is no such file; check the path given to --weights.")
    return path


def _imagenet(options: ModelOptions) -> Any:
    if options.backbone == "small":
        raise UsageError("There are no imagenet weights for the small backbone; use --weights none or a ResNet.")
    return get_model_weights(options.backbone)[IMAGENET]


def _imagenet_file(options: ModelOptions) -> Path:
    url: str = _imagenet(options).url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    prefix = path.stem.rpartition("-")[2]  # torchvision's file names end in the first digits of their SHA-256
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), prefix)
        except (OSError, HTTPException, RuntimeError) as error:
            raise DataError(
                f"Expected {options.backbone}'s ImageNet weights but {url} cannot be downloaded ({_line(error)}); run "
                f"once with network, or put {path.name} into {path.parent}, or convert it and pass "
                "--weights FILE.safetensors."
            ) from error
    if not sha256(path).startswith(prefix):
        raise DataError(f"Expected a file whose SHA-256 begins with {prefix} in {path} but it is damaged; delete it.")
    return path


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".pth":  # torchvision's, of known hash; a pickle, from which weights_only builds tensors alone
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"Expected weights in {path} but it cannot be read ({_line(error)}); get it again.") from error


def _mismatch(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing, of another shape, or unexpected."""
    for key, tensor in expected.items():
        # Files of before 2018 have no such counters, and batch norm with a fixed momentum does not use them.
        if key not in given and not key.endswith("num_batches_tracked"):
            return f"{key} is missing"
        if key in given and given[key].shape != tensor.shape:
            return f"{key} has shape {tuple(given[key].shape)} instead of {tuple(tensor.shape)}"
    unexpected = [key for key in given if key not in expected]
    return f"{unexpected[0]} is not part of it" if unexpected else None


def _line(error: BaseException) -> str:
    """An error's first line: some run over many."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
