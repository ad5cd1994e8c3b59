from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from clbench import plugins
from clbench.errors import UsageError
from clbench.models import ModelOptions
from clbench.models.heads.dlfl import QueryOptions
from clbench.models.heads.linear import LinearHead
from clbench.models.network import build_model
from clbench.options import NoOptions
from clbench.randomness import derive

SMALL = ModelOptions(backbone="small")


def images(size: int = 16) -> Tensor:
    return torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
@pytest.mark.parametrize("head", sorted(plugins.available("head")))
@pytest.mark.parametrize("size", [64, 40])
def test_images_as_stored_give_logits(backbone: str, head: str, size: int) -> None:
    logits = build_model(ModelOptions(backbone=backbone), 5, seed=0, head=head)(images(size))
    assert logits.shape == (3, 5)
    assert logits.dtype == torch.float32


def test_contract_tests_may_use_tiny_images() -> None:
    assert build_model(SMALL, 5, seed=0, head="dlfl")(images(8)).shape == (3, 5)


def test_pixels_are_normalised_as_torchvisions_weights_expect() -> None:
    model, seen = build_model(SMALL, 5, seed=0), []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 8, 8))
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(seen[0][1, :, 3, 5], torch.tensor(expected))


def test_the_backbone_begins_the_same_under_every_head_and_with_any_number_of_classes() -> None:
    models = [build_model(SMALL, 5, seed=3), build_model(SMALL, 9, seed=3), build_model(SMALL, 5, seed=3, head="dlfl")]
    for key, tensor in models[0].backbone.state_dict().items():
        for model in models[1:]:
            assert torch.equal(model.backbone.state_dict()[key], tensor), key


def test_the_head_has_a_generator_of_its_own() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(3, "init", "head"))
        alone = LinearHead(NoOptions(), 96, 5)
    assert torch.equal(build_model(SMALL, 5, seed=3).head.classifier.weight, alone.classifier.weight)


def test_the_head_begins_the_same_over_every_weights_file(tmp_path: Path) -> None:
    plain = build_model(SMALL, 5, seed=3)
    save_file(build_model(SMALL, 5, seed=4).backbone.state_dict(), tmp_path / "w.safetensors")
    other = build_model(ModelOptions(backbone="small", weights=str(tmp_path / "w.safetensors")), 5, seed=3)
    assert torch.equal(other.head.classifier.weight, plain.head.classifier.weight)
    assert not torch.equal(other.backbone.state_dict()["conv1.weight"], plain.backbone.state_dict()["conv1.weight"])


@pytest.mark.parametrize("head", ["linear", "dlfl"])
def test_the_seed_alone_decides(head: str) -> None:
    first = build_model(SMALL, 5, seed=0, head=head).state_dict()
    torch.rand(7)  # whatever the global generator has given meanwhile
    again, other = (build_model(SMALL, 5, seed=seed, head=head).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.classifier.weight_rows.0"], other["head.classifier.weight_rows.0"])
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    build_model(SMALL, 5, seed=0, head="dlfl")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_holds_weights_but_no_normalisation() -> None:
    model = build_model(SMALL, 5, seed=0)
    assert {"mean", "std"}.isdisjoint(model.state_dict())
    assert {"mean", "std"} < dict(model.named_buffers()).keys()


def test_a_copy_and_a_reloaded_model_give_the_same_logits() -> None:
    model = build_model(SMALL, 5, seed=0, head="dlfl").eval()
    other = build_model(SMALL, 5, seed=1, head="dlfl").eval()
    other.load_state_dict(model.state_dict())
    for same in (deepcopy(model), other):
        assert torch.equal(same(images()), model(images()))


def test_parameter_count_worked_by_hand() -> None:
    convolutions = 9 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 96)
    batch_norms = 2 * (16 + 32 + 64 + 96)
    backbone = convolutions + batch_norms
    assert build_model(SMALL, 5, seed=0).parameter_count == backbone + 97 * 5
    attention = 4 * 96 * 96 + 3 * 96 + 2 * 96  # keys have no bias; LayerNorm
    assert build_model(SMALL, 5, seed=0, head="dlfl").parameter_count == backbone + attention + 5 * 96 + 97 * 5


def test_width_zero_is_the_maps() -> None:
    classifier = build_model(SMALL, 5, seed=0, head="dlfl").head.classifier
    assert classifier.weight.shape == (5, 96)
    narrow = QueryOptions(width=32)
    assert build_model(SMALL, 5, seed=0, head="dlfl", head_options=narrow).head.classifier.weight.shape == (5, 32)


def test_attention_heads_that_do_not_divide_the_width_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="head.heads"):
        build_model(SMALL, 5, seed=0, head="dlfl", head_options=QueryOptions(heads=7))


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "channels"), [("resnet50", 2048), ("resnet101", 2048)])
def test_the_large_resnets(backbone: str, channels: int) -> None:
    model = build_model(ModelOptions(backbone=backbone), 5, seed=0).eval()
    with torch.inference_mode():
        assert model.feature_map(images(64)).shape == (3, channels, 2, 2)


def test_a_frozen_backbone_stays_as_it_is() -> None:
    model = build_model(ModelOptions(backbone="small", freeze="backbone"), 5, seed=0).train()
    before = deepcopy(model.backbone.state_dict())
    model(images()).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.backbone.state_dict().items())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        "head.classifier.weight_rows.0",
        "head.classifier.bias_rows.0",
    ]
    assert model.head.training and not model.backbone.training
    assert model.parameter_count == 97 * 5
