"""Optimisers, and what becomes of one whose model grows."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from clbench.errors import PluginError
from clbench.learning.options import TrainOptions


def build_optimizer(options: TrainOptions, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a run, in its fused form (a fifth of the plain one's time on the CPU)."""
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=options.lr, momentum=0.9, weight_decay=options.weight_decay, fused=True)
    return torch.optim.Adam(parameters, lr=options.lr, weight_decay=options.weight_decay, fused=True)


def follow_growth(
    optimizer: torch.optim.Optimizer, trained: Sequence[nn.Parameter], parameters: Sequence[nn.Parameter]
) -> None:
    """Let an optimiser go on with a model that has grown.

    A new parameter joins the group of the one that stands before it in the model, right behind it, and begins without
    a state; where that one is in no group, it is in none. One that growing has frozen leaves, with its state. So a
    group keeps the order that it has if it is made of the grown model, by which `load_state_dict` goes.

    trained: what was trainable before. parameters: all that the model has now, in its order.

    Raises:
        PluginError: a trained parameter is no longer there.
    """
    if set(trained) - set(parameters):
        raise PluginError(
            "Expected a head that keeps its parameters as it grows but it has replaced some; add rows as parameters of "
            "their own, as clbench.models.head.Rows does."
        )
    known = set(trained)
    for elder, new in pairwise(parameters):
        if new.requires_grad and new not in known:
            _insert(optimizer, new, behind=elder)
    frozen = {parameter for parameter in trained if not parameter.requires_grad}
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if parameter not in frozen]
    for parameter in frozen:
        optimizer.state.pop(parameter, None)


def _insert(optimizer: torch.optim.Optimizer, new: nn.Parameter, *, behind: nn.Parameter) -> None:
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"], start=1):
            if parameter is behind:
                if _needs_momentum(optimizer, group):
                    optimizer.state[new]["momentum_buffer"] = torch.zeros_like(new)
                group["params"].insert(place, new)
                return


def _needs_momentum(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> bool:
    """Fused SGD fails where some of a group have momentum and others none yet; without dampening, 0 is as none."""
    kept = (optimizer.state.get(parameter, {}).get("momentum_buffer") for parameter in group["params"])
    return bool(group.get("fused")) and any(buffer is not None for buffer in kept)
