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
from clbench.learning.engine import Engine
from clbench.scenario.samples import Samples


@dataclass(frozen=True)
class Origin:
    """Where a model's inputs are from. images: of all processes together. replayed: of them from a memory.

    parts: see `Batch.parts`. whole: each of several processes has all of them.
    """

    images: int
    replayed: int = 0
    parts: tuple[int, ...] = ()
    whole: bool = False


_ORIGINS = WeakTensorKeyDictionary()
"""Inputs of a model, or their maps -> their `Origin`, where it is not plain to see."""


def note_origin(inputs: Tensor, origin: Origin) -> None:
    """Note where these inputs are from."""
    _ORIGINS[inputs] = origin


def origin_of(inputs: Tensor) -> Origin | None:
    """Where a model's inputs are from; None for a tensor that is no batch's `inputs`, or all new and all there."""
    origin: Origin | None = _ORIGINS.get(inputs)  # type: ignore[no-untyped-call]
    return origin


def joined(engine: Engine, inputs: Tensor, logits: Tensor) -> Tensor:
    """The logits of a whole batch (B, C), in its order, from its `inputs` here and their logits (b, C).

    Raises:
        PluginError: inputs of which nobody has said whose share they are.
    """
    origin = origin_of(inputs)
    if origin is None or not (origin.parts or origin.whole):
        raise PluginError(
            f"Expected the model to be given the inputs of a batch, for {engine.size} processes share it out, but got "
            "others; put them in its place with dataclasses.replace(batch, inputs=…)."
        )
    return engine.gather(logits, origin.parts)


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

    inputs: pixels, uint8 (b, 3, S, S) as stored, which the model normalises; or with a frozen backbone its maps,
        float16 (b, D, H, W). The model takes both (`Network.map_of`). b is B, but for a run that several processes
        share: there they are this process's, and the model gives the logits of all B.
    labels: float32 (B, C) in {0, 1}; C are the columns of the model's head, which may grow with the tasks.
    known: bool (B, C), False where the protocol hides the label; losses leave those entries out.
    samples: the same samples as the memory takes them, on the CPU.
    parts: where `inputs` are shared out, the sizes of the batches joined in this one; see `Engine.gather`.
    """

    inputs: Tensor
    labels: Tensor
    known: Tensor
    samples: Samples
    parts: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        replayed = int(self.samples.replayed.sum())
        if replayed or self.parts:
            known = origin_of(self.inputs)
            note_origin(self.inputs, Origin(len(self), replayed, self.parts, whole=known is not None and known.whole))

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
            parts=self.parts + other.parts,
        )


@dataclass(frozen=True, eq=False)
class Replay(Batch):
    """Samples drawn from the memory.

    slots: (B,) int64, where they stand in it. kept: name -> (B, …), what was stored beside them (`Memory.keep`).
    """

    slots: IntArray
    kept: Mapping[str, Tensor] = field(default_factory=dict)
