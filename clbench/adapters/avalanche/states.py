"""What an Avalanche plugin keeps, as a checkpoint takes it: tensors and JSON values, and back."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from avalanche.training.utils import ParamData
from torch import Tensor, nn

from clbench.errors import PluginError

PARAM, DEFAULT, SET, DEVICE = "$param", "$default", "$set", "$device"
"""What stands for a value that a checkpoint has not: a dict with this one key."""


def packed(plugin: object) -> dict[str, Any]:
    """The attributes of a plugin.

    Raises:
        PluginError: one that no checkpoint can have, such as a model or a generator.
    """
    return {name: _pack(value, f"{type(plugin).__name__}.{name}") for name, value in vars(plugin).items()}


def unpack(plugin: object, state: Mapping[str, Any]) -> None:
    """Give a plugin the attributes that `packed` took from one of its class."""
    vars(plugin).update({name: _unpack(value) for name, value in state.items()})


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested dicts, lists, tuples, parameters' data and modules."""
    if isinstance(value, ParamData):
        value = value.data
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return sum(map(tensor_bytes, value))
    return int(value.nbytes) if isinstance(value, Tensor) else 0


def _pack(value: Any, where: str) -> Any:
    if isinstance(value, ParamData) and value.init_function is torch.zeros:
        return {PARAM: [value.name, value.data]}
    if isinstance(value, defaultdict) and value.default_factory is dict:
        return {DEFAULT: _pack(dict(value), where)}
    if isinstance(value, Mapping):
        return {key: _pack(each, f"{where}[{key!r}]") for key, each in value.items()}
    if isinstance(value, set | frozenset) and all(isinstance(each, str | int) for each in value):
        return {SET: sorted(value)}
    if isinstance(value, torch.device):
        return {DEVICE: str(value)}
    if type(value) in (list, tuple):
        return type(value)(_pack(each, f"{where}[{number}]") for number, each in enumerate(value))
    if value is None or isinstance(value, Tensor | str | int | float):
        return value
    raise PluginError(
        f"Expected {where} to hold tensors, numbers and text, as a checkpoint does, but got {type(value).__name__}; "
        "say `resumable = False` in the strategy, and its runs have no checkpoints."
    )


def _unpack(value: Any) -> Any:
    if isinstance(value, Mapping):
        if PARAM in value:
            name, data = value[PARAM]
            return ParamData(name, init_tensor=data.clone(), device=data.device)
        if DEFAULT in value:
            return defaultdict(dict, _unpack(value[DEFAULT]))
        if DEVICE in value:
            return torch.device(value[DEVICE])
        return set(value[SET]) if SET in value else {key: _unpack(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unpack(each) for each in value)
    return value.clone() if isinstance(value, Tensor) else value
