from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.errors import PluginError
from clbench.learning.optim import build_optimizer, follow_growth
from clbench.learning.options import TrainOptions
from clbench.models.head import Rows
from clbench.options import build


def test_optimisers_have_the_options() -> None:
    model = nn.Linear(2, 2)
    adam = build_optimizer(build(TrainOptions, {"lr": 0.5, "weight_decay": 0.25}), model.parameters())
    sgd = build_optimizer(build(TrainOptions, {"optimizer": "sgd"}), model.parameters())
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 0.5 and adam.defaults["weight_decay"] == 0.25
    assert isinstance(sgd, torch.optim.SGD) and sgd.defaults["momentum"] == 0.9
    assert adam.defaults["fused"] is sgd.defaults["fused"] is True  # others round otherwise: other bits


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


def rows_in_a_model(columns: int = 2) -> tuple[nn.Sequential, Rows]:
    """With a parameter before the rows and one behind."""
    rows = Rows(torch.zeros(columns, 3))
    return nn.Sequential(nn.Linear(1, 1, bias=False), rows, nn.Linear(1, 1, bias=False)), rows


def grow(optimizer: torch.optim.Optimizer, model: nn.Module, rows: Rows, added: int = 1) -> nn.Parameter:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rows.grow(torch.zeros(added, 3))
    follow_growth(optimizer, trained, list(model.parameters()))
    return rows.blocks[-1]


def ids(parameters: Iterable[Tensor]) -> list[int]:
    return [id(parameter) for parameter in parameters]


def test_new_rows_join_the_group_of_the_old_ones_behind_them() -> None:
    model, rows = rows_in_a_model()
    groups: list[dict[str, Any]] = [
        {"params": list(model[0].parameters())},
        {"params": [*rows.blocks, *model[2].parameters()], "lr": 0.5},
    ]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9)
    for _ in range(2):
        grow(optimizer, model, rows)
    assert [ids(group["params"]) for group in optimizer.param_groups] == [
        ids(model[0].parameters()),
        ids([*rows.blocks, *model[2].parameters()]),
    ]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5] and not optimizer.state


def test_rows_that_an_optimiser_does_not_train_stay_outside() -> None:
    model, rows = rows_in_a_model()
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)
    grow(optimizer, model, rows)
    assert ids(optimizer.param_groups[0]["params"]) == ids(model[2].parameters())


def test_what_growing_freezes_leaves_with_its_state_and_nothing_else_does() -> None:
    model, rows = rows_in_a_model()
    optimizer = torch.optim.Adam(model.parameters(), 0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[0].requires_grad_(False)  # by its owner, before
    optimizer.step()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rows.grow(torch.zeros(1, 3))
    rows.blocks[0].requires_grad_(False)
    follow_growth(optimizer, trained, list(model.parameters()))
    expected = [*model[0].parameters(), rows.blocks[1], *model[2].parameters()]
    assert ids(optimizer.param_groups[0]["params"]) == ids(expected)
    assert ids(optimizer.state) == ids([*model[0].parameters(), *model[2].parameters()])


def test_adam_moves_new_rows_at_their_first_step_by_the_learning_rate() -> None:
    """By hand: m = 0.1 g and v = 0.001 g^2, each divided by itself without g: the step is lr g / |g|."""
    model, rows = rows_in_a_model()
    optimizer = build_optimizer(build(TrainOptions, {"lr": 0.25}), model.parameters())
    rows.blocks[0].grad = torch.ones(2, 3)
    for _ in range(1000):
        optimizer.step()
    new = grow(optimizer, model, rows)
    new.grad = torch.tensor([[4.0, -0.5, 0.03125]])
    optimizer.step()
    torch.testing.assert_close(new.detach(), torch.tensor([[-0.25, 0.25, -0.25]]), rtol=1e-6, atol=0)
    assert [optimizer.state[block]["step"].item() for block in rows.blocks] == [1001, 1]


@pytest.mark.parametrize("steps", [0, 2])
def test_fused_sgd_goes_on_with_new_rows_as_the_plain_one_does(steps: int) -> None:
    found = []
    for fused in (True, False):
        model, rows = rows_in_a_model()
        optimizer = torch.optim.SGD(rows.parameters(), 0.1, momentum=0.9, weight_decay=0.5, fused=fused)
        for number in range(steps + 3):
            if number == steps:
                grow(optimizer, model, rows)
            for block in rows.blocks:
                block.grad = torch.full_like(block, 2.0**number)
            optimizer.step()
        found.append(rows())
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)
    # By hand, from 0 with g = 1, 2, 4, by v = 0.9 v + g + 0.5 w and w -= 0.1 v: v = 1, 2.85, 6.3725.
    if steps == 0:
        assert found[0][2].tolist() == pytest.approx([-1.02225] * 3)


def test_a_head_that_replaces_its_parameters_is_refused() -> None:
    old, new = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    with pytest.raises(PluginError) as error:
        follow_growth(torch.optim.Adam([old], 0.1), [old], [new])
    assert str(error.value) == (
        "Expected a head that keeps its parameters as it grows but it has replaced some; add rows as parameters of "
        "their own, as clbench.models.head.Rows does."
    )
