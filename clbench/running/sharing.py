"""What a run must be for several processes to share it: made for as many, with a model whose batch can be cut."""

from copy import deepcopy

import torch
from torch import Tensor

from clbench.errors import UsageError
from clbench.learning.engine import Engine
from clbench.learning.strategy import Strategy
from clbench.models.network import Network
from clbench.models.norm import share_statistics
from clbench.running.config import Config


def check_ranks(config: Config, processes: int) -> None:
    """That there are as many processes as the run is shared by. Raises UsageError."""
    ranks = config.options["train"].ranks
    if ranks != processes:
        started = f"torchrun --nproc-per-node {ranks} -m clbench …" if ranks > 1 else "clbench …"
        raise UsageError(
            f"Expected {ranks} process(es) for a run with ranks={ranks} but {processes} share it; start it with "
            f"`{started}`, or leave ranks out for a run of its own."
        )


def check_shareable(strategy: type[Strategy], name: str, engine: Engine) -> None:
    """That several processes can share what a strategy does. Raises UsageError."""
    if engine.size > 1 and not strategy.shareable:
        raise UsageError(
            f"Expected {name} in one process, for it learns in a way of its own, but {engine.size} share it."
        )


def share_out(model: Network, inputs: Tensor, engine: Engine) -> None:
    """Make a model one whose batch several processes share.

    inputs: a few that it takes, on its device.

    Raises:
        UsageError: it draws random numbers while it learns, or has statistics of a kind of its own.
    """
    if _draws(model, inputs):
        raise UsageError(
            f"Expected a model that draws nothing while it learns, for {engine.size} processes would draw other "
            f"numbers than one, but {type(model.head).__name__} on {type(model.backbone).__name__} does, as dropout "
            "does; switch it off (of our heads: --set head.dropout=0), or run it as one process."
        )
    share_statistics(model.head if model.frozen else model, engine.total)


@torch.no_grad()
def _draws(model: Network, inputs: Tensor) -> bool:
    """Whether a pass in training takes numbers from PyTorch's generators."""
    on_cuda = inputs.device.type == "cuda"
    with torch.random.fork_rng(devices=[inputs.device] if on_cuda else []):

        def states() -> list[Tensor]:
            return [torch.get_rng_state(), *([torch.cuda.get_rng_state(inputs.device)] if on_cuda else [])]

        before = states()
        deepcopy(model).train()(inputs)
        return any(not torch.equal(then, now) for then, now in zip(before, states(), strict=True))
