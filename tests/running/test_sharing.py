"""What is refused before several processes share it; that they can is in tests/learning/test_engine.py."""

import pytest
import torch
from torch import nn

from clbench.errors import UsageError
from clbench.learning.engine import Engine
from clbench.learning.strategy import Strategy
from clbench.models.network import Network, build_model
from clbench.models.norm import SharedBatchNorm
from clbench.models.options import ModelOptions
from clbench.running.config import resolve
from clbench.running.sharing import check_ranks, check_shareable, share_out


class Two(Engine):
    """Two processes, as far as what is asked before they do anything."""

    size = 2


def small(head: str = "linear", freeze: str = "none") -> Network:
    return build_model(ModelOptions(backbone="small", freeze=freeze), 3, 0, head=head)


PIXELS = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)


def test_a_model_that_draws_is_refused_and_left_as_it_was() -> None:
    model, state = small("q2l"), torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(
        UsageError,
        match="Expected a model that draws nothing while it learns, for 2 processes .*Query"
        ".* as dropout does; switch it off",
    ):
        share_out(model, PIXELS, Two())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_statistics_are_shared_unless_the_backbone_is_frozen() -> None:
    for freeze, shared in (("none", 4), ("backbone", 0)):
        model = small(freeze=freeze)
        inputs = model.feature_map(PIXELS).half() if model.frozen else PIXELS
        share_out(model, inputs, Two())
        assert sum(isinstance(module, SharedBatchNorm) for module in model.modules()) == shared


def test_statistics_of_another_kind_are_refused() -> None:
    model = small()
    model.head.norm = nn.BatchNorm1d(3)
    with pytest.raises(UsageError, match="BatchNorm2d but it has a BatchNorm1d"):
        share_out(model, PIXELS, Two())


def test_a_run_is_for_as_many_processes_as_it_says() -> None:
    alone, shared = (resolve("debug", "er", settings=settings) for settings in ({}, {"ranks": 2}))
    check_ranks(alone, 1)
    check_ranks(shared, 2)
    with pytest.raises(
        UsageError, match="ranks=2 but 1 share it; start it with `torchrun --nproc-per-node 2 -m clbench"
    ):
        check_ranks(shared, 1)
    with pytest.raises(UsageError, match="ranks=1 but 2 share it; start it with `clbench …`"):
        check_ranks(alone, 2)


def test_a_strategy_that_says_so_is_refused() -> None:
    class Alone(Strategy):
        shareable = False

    check_shareable(Alone, "alone", Engine())
    check_shareable(Strategy, "shared", Two())
    with pytest.raises(
        UsageError, match="Expected alone in one process, for it learns in a way of its own, but 2 share"
    ):
        check_shareable(Alone, "alone", Two())
