import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet18

from clbench.errors import DataError, UsageError
from clbench.models import ModelOptions, backbones
from clbench.models.backbones import Backbone, build_backbone, load_weights, weights_record

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def torchvisions() -> torch.nn.Module:
    """A ResNet-18 as torchvision builds it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model: torch.nn.Module = resnet18(weights=None)
    return model.eval()


@pytest.fixture
def state(torchvisions: torch.nn.Module) -> State:
    """Its weights, the classifier among them."""
    return dict(torchvisions.state_dict())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def small() -> State:
    return dict(build_backbone("small").state_dict())


def saved(state: State, path: Path, backbone: str = "small") -> ModelOptions:
    save_file(state, path)
    return ModelOptions(backbone=backbone, weights=str(path))


def loaded(options: ModelOptions) -> Backbone:
    backbone = build_backbone(options.backbone)
    load_weights(backbone, options)
    return backbone


@pytest.mark.parametrize(("size", "side"), [(64, 8), (32, 4), (8, 1)])
def test_small_gives_a_map_of_an_eighth_of_the_side(size: int, side: int) -> None:
    backbone = build_backbone("small").eval()
    assert backbone(torch.rand(2, 3, size, size)).shape == (2, backbone.channels, side, side)


def test_resnet18_is_torchvisions_up_to_the_map(torchvisions: torch.nn.Module, state: State, tmp_path: Path) -> None:
    backbone = loaded(saved(state, tmp_path / "w.safetensors", "resnet18")).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    feature_map = backbone(images)
    assert feature_map.shape == (2, 512, 2, 2)
    assert backbone.channels == 512
    torch.testing.assert_close(torchvisions.fc(feature_map.mean((2, 3))), torchvisions(images))  # type: ignore[operator]


def test_a_file_without_the_batch_norm_counters_loads(small: State, tmp_path: Path) -> None:
    without = {key: tensor for key, tensor in small.items() if not key.endswith("num_batches_tracked")}
    assert len(without) < len(small)
    backbone = loaded(saved(without, tmp_path / "w.safetensors"))
    assert torch.equal(backbone.state_dict()["bn3.running_var"], small["bn3.running_var"])


def without_first(state: State) -> State:
    return {key: tensor for key, tensor in state.items() if key != "bn1.weight"}


def with_another(state: State) -> State:
    return state | {"conv6.weight": torch.zeros(3)}


def misshaped(state: State) -> State:
    return state | {"conv1.weight": torch.zeros(32, 1, 3, 3)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_first, "bn1.weight is missing"),
        (with_another, "conv6.weight is not part of it"),
        (misshaped, r"conv1.weight has shape \(32, 1, 3, 3\) instead of \(32, 3, 3, 3\)"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_first_bad_key(
    change: Any, sentence: str, small: State, tmp_path: Path
) -> None:
    options = saved(change(small), tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=f"weights of a small in .*w.safetensors but {sentence}"):
        loaded(options)


def test_a_classifier_in_the_file_is_ignored_for_resnets_only(small: State, tmp_path: Path) -> None:
    options = saved(small | {"fc.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="fc.weight is not part of it"):
        loaded(options)


def test_a_missing_file(tmp_path: Path) -> None:
    options = ModelOptions(backbone="small", weights=str(tmp_path / "none.safetensors"))
    for ask in (weights_record, loaded):
        with pytest.raises(DataError, match="none.safetensors but there is no such file"):
            ask(options)


@pytest.mark.parametrize("content", [b"", b"not a weights file", b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json..."])
def test_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="w.safetensors but it cannot be read"):
        loaded(ModelOptions(backbone="small", weights=str(path)))


def test_a_truncated_file(small: State, tmp_path: Path) -> None:
    options = saved(small, tmp_path / "w.safetensors")
    path = tmp_path / "w.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="cannot be read"):
        loaded(options)


def test_other_kinds_of_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="none, imagenet or FILE.safetensors but got 'imagnet'"):
        loaded(ModelOptions(weights="imagnet", backbone="small"))


def test_small_has_no_imagenet_weights() -> None:
    for ask in (weights_record, loaded):
        with pytest.raises(UsageError, match="no imagenet weights for the small backbone"):
            ask(ModelOptions(backbone="small", weights="imagenet"))


def test_imagenet_without_network_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, *_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    for ask in (weights_record, loaded):
        with pytest.raises(DataError) as caught:
            ask(ModelOptions(backbone="resnet18", weights="imagenet"))
        assert f"put resnet18-f37072fd.pth into {cache}" in str(caught.value)
        assert "run once with network" in str(caught.value)
        assert "--weights FILE.safetensors" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def published(state: State, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for torchvision's file, as `folder` would hold it once downloaded; returns its path."""
    folder.mkdir(parents=True)
    torch.save(state, folder / "unnamed")
    digest = hashlib.sha256((folder / "unnamed").read_bytes()).hexdigest()
    path = (folder / "unnamed").rename(folder / f"resnet18-{digest[:8]}.pth")
    weights = SimpleNamespace(url=f"https://example.invalid/{path.name}")
    monkeypatch.setattr(backbones, "_imagenet", lambda options: weights)
    return path


def test_imagenet_is_read_from_torchs_cache(cache: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    path = published(state, cache, monkeypatch)
    options = ModelOptions(backbone="resnet18", weights="imagenet")
    assert torch.equal(loaded(options).state_dict()["conv1.weight"], state["conv1.weight"])
    record = weights_record(options)
    assert record["source"] == "imagenet"
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_cache_is_noticed(cache: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    path = published(state, cache, monkeypatch)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="is damaged; delete it"):
        loaded(ModelOptions(backbone="resnet18", weights="imagenet"))


def test_the_imagenet_weights_are_those_of_prss_time() -> None:
    assert str(backbones._imagenet(ModelOptions(backbone="resnet101"))) == "ResNet101_Weights.IMAGENET1K_V1"


def test_the_record_of_a_file_and_of_none(small: State, tmp_path: Path) -> None:
    options = saved(small, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert weights_record(options) == {"source": "file", "name": "w.safetensors", "sha256": digest}
    assert weights_record(ModelOptions(backbone="small")) == {"source": "none", "name": None, "sha256": None}
