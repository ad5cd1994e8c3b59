"""The Memory contract, and one file per policy: those that see labels alone, and those that ask the model (`needs`).

A memory holds *dataset indices* and the labels as they were visible when the sample was stored; never pixels, and never
the annotation file's truth. What it keeps depends on what it is offered, on its generator, and on the model only where
`needs` says so: two strategies with the same memory, seed and scenario keep the same samples if it needs nothing.

No torch here until a payload is kept: the command line lists memories, and torch takes seconds to import.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray, ScoreArray
from clbench.options import Text, option
from clbench.scenario.samples import Samples

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NOT_STORED = -1
"""The slot that `update` reports for a sample that it did not keep."""
COLUMNS = -1
"""Stands in the shape of a payload for the columns of the head, which may grow."""


class Size(Text):
    """A memory's size: `N` images, or `N/class`, N for each class introduced so far. N is at least 1."""

    __slots__ = ()
    expected = "N images or N/class, with N at least 1,"

    def __new__(cls, text: str | int) -> "Size":
        match = re.fullmatch(r"(\d{1,9})(/class)?", str(text), re.ASCII)
        if not match or int(match[1]) < 1:
            raise ValueError(f"expected a size of {cls.expected} but got {text!r}")
        return super().__new__(cls, f"{int(match[1])}{match[2] or ''}")

    def images(self, classes: int) -> int:
        """How many images that is, once so many classes have been introduced."""
        number = int(self.removesuffix("/class"))
        return number * classes if self.endswith("/class") else number


@dataclass(frozen=True)
class MemoryOptions:
    """Options that every memory has."""

    size: Size = option(
        Size(2000),
        "capacity: N images, or N/class for each class introduced so far; PRS (Kim et al.): 2,000 on COCOseq and "
        "NUS-WIDEseq",
    )
    replay_batch: int = option(
        0, "images drawn from the memory at each step; 0: as many as are new, as in PRS (10 and 10)", at_least=0
    )


class Cues(ABC):
    """What a memory may ask of the model as it is now, in evaluation; see `Memory.needs`."""

    @abstractmethod
    def features(self, samples: Samples) -> ScoreArray:
        """The backbone's map of each image, averaged over positions: (B, D) float32."""

    @abstractmethod
    def gradients(self, samples: Samples, *, mean: bool = False) -> ScoreArray:
        """The gradient of each sample's own loss, all trainable parameters in one row: (B, P) float32.

        mean: their mean alone, (1, P), which takes one pass of all and not one of each.
        """


class Memory(ABC):
    """Slots filled from a stream; `update` decides over a whole batch.

    The arrays below are views of the filled slots, in slot order:

    indices: (m,) int64, dataset indices.
    labels: (m, C) uint8 in {0, 1}, as visible when stored; C grows with the head.
    known: (m, C) bool, False where the protocol hid the label when the sample was stored.
    """

    Options: ClassVar[type[MemoryOptions]] = MemoryOptions
    scenario_defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    """Scenario name -> options whose defaults differ there."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Which cues it asks for, of `features` and `gradients`. One that needs none is given none."""

    def __init__(self, options: Any, columns: int, generator: np.random.Generator) -> None:
        """columns: those of the labels that it is offered at first, C; see `introduce`."""
        self.options = options
        self._size = Size(options.size)
        self.generator = generator
        self.seen = 0
        """Samples offered so far."""
        self.introduced = 0
        """Classes introduced so far."""
        self._filled = 0
        self._indices = np.zeros(0, np.int64)
        self._labels = np.zeros((0, columns), np.uint8)
        self._known = np.zeros((0, columns), np.bool_)
        self._payloads: dict[str, Tensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return self._filled

    @property
    def columns(self) -> int:
        """C."""
        return self._labels.shape[1]

    @property
    def size(self) -> int:
        """Capacity in samples at present."""
        return self._size.images(self.introduced)

    @property
    def indices(self) -> IntArray:
        return self._indices[: self._filled]

    @property
    def labels(self) -> LabelArray:
        return self._labels[: self._filled]

    @property
    def known(self) -> BoolArray:
        return self._known[: self._filled]

    # What a policy decides

    @abstractmethod
    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        """Offer a batch of the stream; the samples' labels have `columns` columns.

        Returns (B,) int64, the slot of each sample once the batch is decided; `NOT_STORED` = -1 where it is not kept.
        """

    def settle(self, samples: Samples, cues: Cues | None = None) -> None:
        """Called at a task's end with all of its training samples; most memories have nothing left to decide."""
        return

    def introduce(self, classes: int, columns: int) -> None:
        """A task introduces so many classes, and labels have `columns` columns from now on, at least as many as before.

        What is stored says nothing of new columns: 0, not known. Overriding methods call `super()`.
        """
        self.introduced += classes
        added = columns - self.columns
        self._labels = np.pad(self._labels, ((0, 0), (0, added)))
        self._known = np.pad(self._known, ((0, 0), (0, added)))
        for name, payload in self._payloads.items():
            self._payloads[name] = _resized(payload, self._shape(name, len(payload)))

    # What policies call

    def append(self, samples: Samples) -> IntArray:
        """Fill so many slots at the end, whatever the capacity: (B,) int64, the slots."""
        slots = np.arange(self._filled, self._filled + len(samples.indices))
        for slot, index, labels, known in zip(slots, samples.indices, samples.labels, samples.known, strict=True):
            self.write(int(slot), int(index), labels, known)
        return slots

    def write(self, slot: int, index: int, labels: LabelArray, known: BoolArray) -> None:
        """Put a sample into a slot that is filled, or into the next one; `put` writes what is kept beside it."""
        if not 0 <= slot <= self._filled:
            raise ValueError(f"expected a slot from 0 to {self._filled} but got {slot}")
        if slot == len(self._indices):
            self._reserve(max(2 * slot, self.size, 1))
        self._filled = max(self._filled, slot + 1)
        self._indices[slot], self._labels[slot], self._known[slot] = index, labels, known

    def retain(self, slots: IntArray) -> None:
        """Keep these slots alone, in this order; the others are forgotten."""
        for name, array in (("_indices", self._indices), ("_labels", self._labels), ("_known", self._known)):
            kept = np.zeros_like(array)
            kept[: len(slots)] = array[slots]
            setattr(self, name, kept)
        for name, payload in self._payloads.items():
            chosen = payload[_index(slots, payload.device)]
            self._payloads[name] = _resized(chosen, tuple(payload.shape))
        self._filled = len(slots)

    # What strategies call

    def sample(self, n: int, generator: np.random.Generator) -> IntArray:
        """Up to n distinct slots, uniformly without replacement: (min(n, len(self)),) int64.

        Slots, not indices: a slot identifies the labels *as stored*, also where one image is stored twice. The caller
        brings the generator, so how much is replayed never changes what is stored.
        """
        return generator.choice(self._filled, size=min(n, self._filled), replace=False).astype(np.int64)

    def stored(self, slots: IntArray) -> Samples:
        """What stands in some slots, labels as stored."""
        replayed = np.ones(len(slots), np.bool_)
        return Samples(self._indices[slots], self._labels[slots], self._known[slots], replayed)

    def keep(self, name: str, shape: Sequence[int], dtype: "torch.dtype", device: "torch.device") -> None:
        """Keep a tensor of this shape beside every slot, on a device; `COLUMNS` in it grows with the head."""
        import torch

        self._shapes[name] = tuple(shape)
        self._payloads[name] = torch.zeros(self._shape(name, len(self._indices)), dtype=dtype, device=device)

    def put(self, slots: IntArray, values: Mapping[str, "Tensor"]) -> None:
        """Write payloads: of the samples (B,) that `update` gave these slots (B,). Does not wait for the device.

        values: name -> (B, …). Of two samples with one slot the later one stands in it.
        """
        last = {int(slot): row for row, slot in enumerate(slots) if slot != NOT_STORED}
        for name, value in values.items():
            payload = self._payloads[name]
            rows, places = (_index(np.array(list(each), np.int64), payload.device) for each in (last.values(), last))
            payload[places] = value.detach()[rows].to(payload.dtype)

    def kept(self, slots: IntArray) -> dict[str, "Tensor"]:
        """The payloads of some slots: name -> (n, …)."""
        return {name: payload[_index(slots, payload.device)] for name, payload in self._payloads.items()}

    @property
    def payload_bytes(self) -> int:
        """Bytes of the payloads of the filled slots."""
        return sum(payload[: self._filled].nbytes for payload in self._payloads.values())

    # What a run's state is

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly: arrays, tensors and JSON values only."""
        return {
            "seen": self.seen,
            "introduced": self.introduced,
            "indices": self.indices.copy(),
            "labels": self.labels.copy(),
            "known": self.known.copy(),
            "payloads": {name: payload[: self._filled].clone() for name, payload in self._payloads.items()},
            "generator": self.generator.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.seen, self.introduced = int(state["seen"]), int(state["introduced"])
        self._indices, self._labels, self._known = (state[name].copy() for name in ("indices", "labels", "known"))
        self._filled = len(self._indices)
        self._payloads = {name: payload.clone() for name, payload in state["payloads"].items()}
        self.generator.bit_generator.state = state["generator"]

    def _reserve(self, rows: int) -> None:
        added = rows - len(self._indices)
        self._indices = np.pad(self._indices, (0, added))
        self._labels = np.pad(self._labels, ((0, added), (0, 0)))
        self._known = np.pad(self._known, ((0, added), (0, 0)))
        for name, payload in self._payloads.items():
            self._payloads[name] = _resized(payload, self._shape(name, rows))

    def _shape(self, name: str, rows: int) -> tuple[int, ...]:
        return rows, *(self.columns if size == COLUMNS else size for size in self._shapes[name])


class StreamMemory(Memory):
    """A memory that decides sample by sample, so that it does not matter how the stream is cut into batches."""

    @abstractmethod
    def place(self, labels: LabelArray) -> int:
        """The slot for the next stream sample, or `NOT_STORED`.

        labels: (C,) uint8 in {0, 1}. Called once per sample, before `seen` counts it and before the slot is written.
        While the memory has room (`len(self) < self.size`) the answer must be `len(self)` or `NOT_STORED`.
        """

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        """Offer a batch, sample by sample in order.

        Returns (B,) int64, the slot given to each sample at its turn; a later one of the same batch may have taken it.
        """
        slots = np.full(len(samples.indices), NOT_STORED, np.int64)
        for i in range(len(slots)):
            slots[i] = slot = self.place(samples.labels[i])
            self.seen += 1
            if slot >= self.size:
                raise ValueError(f"expected a slot below the capacity of {self.size} but got {slot}")
            if slot != NOT_STORED:
                self.write(int(slot), int(samples.indices[i]), samples.labels[i], samples.known[i])
        return slots


def _index(slots: IntArray, device: "torch.device") -> "Tensor":
    """Slots as an index on a device, without waiting for it."""
    import torch

    index = torch.from_numpy(np.ascontiguousarray(slots))
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index


def _resized(tensor: "Tensor", shape: tuple[int, ...]) -> "Tensor":
    """The tensor with zeros at the ends of its axes."""
    larger = tensor.new_zeros(shape)
    larger[tuple(slice(size) for size in tensor.shape)] = tensor
    return larger
