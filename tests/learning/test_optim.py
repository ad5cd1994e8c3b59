import pytest
import torch
from torch import nn

from clbench.learning.optim import build_optimizer, replace_parameter
from clbench.learning.options import TrainOptions
from clbench.options import build


def test_optimisers_have_the_options() -> None:
    model = nn.Linear(2, 2)
    adam = build_optimizer(build(TrainOptions, {"lr": 0.5, "weight_decay": 0.25}), model.parameters())
    sgd = build_optimizer(build(TrainOptions, {"optimizer": "sgd"}), model.parameters())
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 0.5 and adam.defaults["weight_decay"] == 0.25
    assert isinstance(sgd, torch.optim.SGD) and sgd.defaults["momentum"] == 0.9


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_is_pytorchs_own(optimizer: str) -> None:
    ours, theirs = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([1.0, -2.0]))
    plain = torch.optim.Adam([theirs], 0.1) if optimizer == "adam" else torch.optim.SGD([theirs], 0.1, 0.9)
    fused = build_optimizer(build(TrainOptions, {"optimizer": optimizer, "lr": 0.1}), [ours])
    for _ in range(3):
        for parameter, each in ((ours, fused), (theirs, plain)):
            each.zero_grad()
            (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
            each.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_grown_parameter_takes_the_moments_of_its_old_rows_and_begins_new_ones_at_zero() -> None:
    old, other = nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.Adam([old, other], 0.1)
    (old.sum() * 2 + other.sum()).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    before = {name: value.clone() for name, value in optimizer.state[old].items()}
    new = nn.Parameter(torch.cat([old.detach(), torch.zeros(2, 2)]))
    replace_parameter(optimizer, old, new)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(new), id(other)]
    assert old not in optimizer.state and optimizer.state[new]["step"] == before["step"] == 1
    for name in ("exp_avg", "exp_avg_sq"):
        moments = optimizer.state[new][name]
        assert torch.equal(moments[:1], before[name]) and torch.equal(moments[1:], torch.zeros(2, 2))
    assert optimizer.state[new]["exp_avg"][0].tolist() == pytest.approx([0.2, 0.2])  # (1 - 0.9) * 2
    new.grad = torch.ones(3, 2)
    optimizer.step()
    assert (new.detach()[1:] < 0).all()


def test_a_parameter_without_a_step_so_far_has_no_state_to_take() -> None:
    old, new = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([old], 0.1)
    replace_parameter(optimizer, old, new)
    assert optimizer.param_groups[0]["params"] == [new] and not optimizer.state
