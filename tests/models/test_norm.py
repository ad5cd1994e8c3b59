import pytest
import torch
from torch import nn

from clbench.errors import UsageError
from clbench.models.backbones import build_backbone
from clbench.models.network import build_model
from clbench.models.norm import ContinualNorm, set_norm
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
