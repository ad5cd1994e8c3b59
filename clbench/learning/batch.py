"""What a strategy is shown at each step, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from clbench.arrays import IntArray
from clbench.errors import PluginError
from clbench.scenario.samples import Samples

_REPLAYED = WeakTensorKeyDictionary()
"""Inputs of a model -> how many of their rows came from a memory, where any did."""


def say_replayed(inputs: Tensor, rows: int) -> None:
    """Note that so many rows of these inputs came from a memory."""
    if rows:
        _REPLAYED[inputs] = rows


def replayed_rows(inputs: Tensor) -> int:
    """How many rows of a model's inputs came from a memory; 0 for a tensor that is no batch's `inputs`."""
    return int(_REPLAYED.get(inputs, 0))  # type: ignore[no-untyped-call]


Values = Mapping[str, float | Tensor]
"""Name -> scalar, as `observe` returns it. Tensors may stay on the device; the trainer reads them in bulk."""


def check_values(values: Any, where: str) -> None:
    """That they are `Values` with a `loss`, as far as can be seen without reading them from the device.

    where: who has returned them, e.g. ``Mine.observe``.

    Raises:
        PluginError: no mapping, no `loss`, or something in it that is no scalar.
    """
    expected = f"Expected {where} to return scalars by name, `loss` among them, but got"
    if not isinstance(values, Mapping):
        raise PluginError(f'{expected} {_told(values)}; end it with `return {{"loss": …}}`.')
    if "loss" not in values:
        raise PluginError(
            f"{expected} {', '.join(map(str, values)) or 'nothing'}; call what is to become small `loss`."
        )
    for name, value in values.items():
        if not isinstance(value, Real) and not (isinstance(value, Tensor) and value.numel() == 1):
            raise PluginError(f"{expected} {_told(value)} as {name!r}; take its mean or its sum.")


def _told(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples with their inputs, on the run's device.

    inputs: pixels, uint8 (B, 3, S, S) as stored, which the model normalises; or with a frozen backbone its maps,
        float16 (B, D, H, W). The model takes both (`Network.map_of`).
    labels: float32 (B, C) in {0, 1}; C are the columns of the model's head, which may grow with the tasks.
    known: bool (B, C), False where the protocol hides the label; losses leave those entries out.
    samples: the same samples as the memory takes them, on the CPU.
    """

    inputs: Tensor
    labels: Tensor
    known: Tensor
    samples: Samples

    def __post_init__(self) -> None:
        say_replayed(self.inputs, int(self.samples.replayed.sum()))

    def __len__(self) -> int:
        return len(self.samples.indices)

    def cut(self, columns: int) -> "Batch":
        """The same inputs with their first `columns` labels: those that a growing head has."""
        if columns == self.labels.shape[1]:
            return self
        labels, known = self.labels[:, :columns], self.known[:, :columns]
        return replace(self, labels=labels, known=known, samples=self.samples.cut(columns))

    def join(self, other: "Batch | None") -> "Batch":
        """Both batches as one; `None` (an empty memory) leaves this one as it is."""
        if other is None:
            return self
        names = ("indices", "labels", "known", "replayed")
        pairs = ((getattr(self.samples, name), getattr(other.samples, name)) for name in names)
        return Batch(
            torch.cat([self.inputs, other.inputs]),
            torch.cat([self.labels, other.labels]),
            torch.cat([self.known, other.known]),
            Samples(*(np.concatenate(pair) for pair in pairs)),
        )


@dataclass(frozen=True, eq=False)
class Replay(Batch):
    """Samples drawn from the memory.

    slots: (B,) int64, where they stand in it. kept: name -> (B, …), what was stored beside them (`Memory.keep`).
    """

    slots: IntArray
    kept: Mapping[str, Tensor] = field(default_factory=dict)
