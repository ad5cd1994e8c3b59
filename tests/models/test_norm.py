from copy import deepcopy

import pytest
import torch
from torch import nn

from clbench.errors import UsageError
from clbench.models.backbones import build_backbone
from clbench.models.network import build_model
from clbench.models.norm import ContinualNorm, SharedBatchNorm, SharedContinualNorm, set_norm, share_statistics
from clbench.models.options import ModelOptions


def test_continual_norm_is_batch_norm_of_group_norm_by_hand() -> None:
    x = torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = ContinualNorm(2, 4).double()
    groups = x.reshape(5, 2, -1)
    z = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    z = z.reshape(x.shape)
    dims = (0, 2, 3)
    mean, var = z.mean(dims, keepdim=True), z.var(dims, unbiased=False, keepdim=True)
    torch.testing.assert_close(norm(x), (z - mean) / (var + 1e-5).sqrt(), rtol=0, atol=1e-12)
    # what evaluation uses: one step of momentum 0.1 from mean 0 and variance 1
    norm.eval()
    mean, var = 0.1 * mean, 0.9 + 0.1 * z.var(dims, keepdim=True)
    torch.testing.assert_close(norm(x), (z - mean) / (var + 1e-5).sqrt(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["small", "resnet18"])
@pytest.mark.parametrize(("norm", "kind"), [("group", nn.GroupNorm), ("continual", ContinualNorm)])
def test_every_batch_norm_gives_way_and_nothing_else_changes(name: str, norm: str, kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    plain = build_backbone(name)
    torch.manual_seed(0)
    other = build_backbone(name, norm)
    norms = {key for key, module in plain.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms == {key for key, module in other.named_modules() if isinstance(module, kind)} and norms
    assert not any(type(module) is nn.BatchNorm2d for module in other.modules())
    theirs = dict(other.named_parameters())
    assert theirs.keys() == dict(plain.named_parameters()).keys()
    assert all(torch.equal(value, theirs[key]) for key, value in plain.named_parameters())


def test_weights_of_batch_norm_fit_continual_norm() -> None:
    build_backbone("resnet18", "continual").load_state_dict(build_backbone("resnet18").state_dict())


def test_the_options_reach_the_backbone() -> None:
    model = build_model(ModelOptions(backbone="small", norm="continual", norm_groups=4), 3, 0)
    found = [module for module in model.modules() if isinstance(module, ContinualNorm)]
    assert len(found) == 4 and {module.groups for module in found} == {4}


def test_groups_that_do_not_fit_and_backbones_without_the_choice_are_refused() -> None:
    with pytest.raises(UsageError, match="Expected norm_groups to divide the 6 channels of a layer but got 4"):
        set_norm(nn.Sequential(nn.BatchNorm2d(6)), "group", 4)
    with pytest.raises(UsageError, match="Expected norm=batch with the backbone timm:resnet18 but got group"):
        build_backbone("timm:resnet18", "group")


def test_shared_statistics_of_one_process_are_batch_norms() -> None:
    torch.manual_seed(0)
    for options, train in (({}, True), ({"momentum": None}, True), ({"affine": False}, True), ({}, False)):
        plain = nn.Sequential(nn.BatchNorm2d(4, **options)).double().train(train)
        shared = deepcopy(plain)
        share_statistics(shared, lambda tensor: tensor)
        assert type(shared[0]) is SharedBatchNorm and shared.state_dict().keys() == plain.state_dict().keys()
        for _ in range(2):
            x = torch.randn(3, 4, 2, 2, dtype=torch.float64)
            ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
            given = shared(ours), plain(theirs)
            for outputs in given:
                (outputs**3).sum().backward()
            torch.testing.assert_close(*given, rtol=0, atol=1e-12)
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)
        for mine, its in zip(shared.state_dict().values(), plain.state_dict().values(), strict=True):
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)


def test_the_parameters_stay_the_objects_they_are() -> None:
    model = build_model(ModelOptions(backbone="small", norm="continual", norm_groups=4), 3, 0)
    before = dict(model.named_parameters())
    share_statistics(model, lambda tensor: tensor)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert sum(type(module) is SharedContinualNorm for module in model.modules()) == 4


def test_one_value_has_no_statistics_in_several_processes_either() -> None:
    layers = nn.Sequential(nn.BatchNorm2d(4))
    share_statistics(layers, lambda tensor: tensor)
    for images in (0, 1):
        with pytest.raises(ValueError, match="more than one value per channel"):
            layers(torch.zeros(images, 4, 1, 1))
