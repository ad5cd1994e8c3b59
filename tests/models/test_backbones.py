import sys

import pytest
import torch

from clbench.errors import UsageError
from clbench.models import ModelOptions
from clbench.models.backbones import build_backbone
from clbench.models.network import build_model
from clbench.options import build


@pytest.mark.parametrize(("size", "side"), [(64, 8), (32, 4), (8, 1)])
def test_small_gives_a_map_of_an_eighth_of_the_side(size: int, side: int) -> None:
    backbone = build_backbone("small").eval()
    assert backbone(torch.rand(2, 3, size, size)).shape == (2, backbone.channels, side, side)


@pytest.mark.parametrize(("size", "side"), [(224, 7), (128, 4), (64, 2)])
def test_lite0_gives_a_map_of_a_thirty_second_of_the_side(size: int, side: int) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    backbone = build_backbone("efficientnet_lite0").eval()
    with torch.inference_mode():
        assert backbone(torch.rand(2, 3, size, size)).shape == (2, backbone.channels, side, side)


@pytest.mark.parametrize(
    ("name", "channels", "size", "side"),
    [
        ("test_resnet", 96, 64, 2),  # NCHW
        ("test_vit", 64, 160, 10),  # tokens, one of them the class
        ("deit_tiny_distilled_patch16_224", 192, 224, 14),  # tokens, two of them not of patches
        ("swin_tiny_patch4_window7_224", 768, 224, 7),  # NHWC
        ("levit_128s", 384, 224, 4),  # tokens of patches alone
        ("mobilenetv3_small_050", 288, 64, 2),
    ],
)
def test_timm_models_give_maps(name: str, channels: int, size: int, side: int) -> None:
    pytest.importorskip("timm")
    backbone = build_backbone(f"timm:{name}").eval()
    assert backbone.channels == channels
    with torch.inference_mode():
        assert backbone(torch.rand(2, 3, size, size)).shape == (2, channels, side, side)


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_a_position_of_the_map_is_where_it_is_in_the_image(name: str) -> None:
    """Against timm's own reader of intermediate maps, which gives NCHW."""
    pytest.importorskip("timm")
    backbone = build_backbone(f"timm:{name}").eval()
    images = torch.rand(1, 3, backbone.size or 64, backbone.size or 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        [theirs] = backbone.body.forward_intermediates(  # type: ignore[operator]
            images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        torch.testing.assert_close(backbone(images), theirs)


def test_a_timm_model_has_its_own_normalisation() -> None:
    pytest.importorskip("timm")
    model, seen = build_model(ModelOptions(backbone="timm:vit_tiny_patch16_224"), 2, seed=0).eval(), []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        model(torch.full((1, 3, 224, 224), 255, dtype=torch.uint8))
    assert torch.equal(seen[0], torch.ones(1, 3, 224, 224))  # (1 - 0.5) / 0.5


def test_a_transformer_says_which_size_it_takes() -> None:
    pytest.importorskip("timm")
    model = build_model(ModelOptions(backbone="timm:vit_tiny_patch16_224"), 2, seed=0)
    with pytest.raises(UsageError, match="images of 224 px .* have 64"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_unknown_timm_names_are_answered_with_near_ones() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UsageError, match="Unknown timm model 'resnet5O'; did you mean resnet50,"):
        build_backbone("timm:resnet5O")
    with pytest.raises(UsageError, match="Unknown weights 'a9_in1k' of timm model resnet18; known: .*a1_in1k"):
        build_backbone("timm:resnet18.a9_in1k")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("timm:resnet18", "timm", "timm"), ("efficientnet_lite0", "efficientnet_lite_pytorch", "lite0")],
)
def test_a_package_that_is_not_installed(name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"package {package} .*pip install 'clbench\[{extra}\]'"):
        build_backbone(name)


def test_names_that_begin_with_timm_are_choices() -> None:
    assert build(ModelOptions, {"backbone": "timm:resnet18"}).backbone == "timm:resnet18"
    for wrong in ("timm:", "tim:resnet18", "resnet"):
        with pytest.raises(UsageError, match="one of small, .*timm:NAME but got"):
            build(ModelOptions, {"backbone": wrong})
