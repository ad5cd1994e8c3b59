"""States: copied as a checkpoint would, and compared bit for bit."""

from typing import Any

import numpy as np
import torch


def copied(state: Any) -> Any:
    """A state of tensors, arrays and JSON values, sharing nothing with the first. Raises AssertionError for others."""
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [copied(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    assert isinstance(state, np.ndarray | str | int | float | bool | None), (
        f"state must hold tensors, arrays and JSON values only, but has a {type(state).__name__}"
    )
    return state.copy() if isinstance(state, np.ndarray) else state


def same(one: Any, other: Any) -> bool:
    """Bit-equality of two states."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
