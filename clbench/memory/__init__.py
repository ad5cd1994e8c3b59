"""The Memory contract, and one file per policy: `reservoir`, `prs`.

A memory holds *dataset indices* and the labels as they were visible when the sample was stored; never pixels, and never
the annotation file's truth. Its decisions depend on the labels it is offered and on its generator alone, never on the
model, so two strategies with the same memory, seed and scenario keep exactly the same samples.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray
from clbench.options import option

NOT_STORED = -1
"""The slot that `update` reports for a sample that it did not keep."""


@dataclass(frozen=True)
class MemoryOptions:
    """Options that every memory has."""

    size: int = option(2000, "capacity in images; Kim et al. (PRS) use 2,000 on COCOseq and NUS-WIDEseq", at_least=1)


class Memory(ABC):
    """A fixed number of slots filled from a stream.

    Subclasses implement `place`, the decision for one sample; they may override `update` to decide over a whole batch.
    The arrays below are views of the filled slots, in slot order:

    indices: (m,) int64, dataset indices.
    labels: (m, C) uint8 in {0, 1}, as visible when stored.
    known: (m, C) bool, False where the protocol hid the label when the sample was stored.
    """

    Options: ClassVar[type[MemoryOptions]] = MemoryOptions
    scenario_defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    """Scenario name -> options whose defaults differ there."""

    def __init__(self, options: MemoryOptions, num_classes: int, generator: np.random.Generator) -> None:
        self.options = options
        self.num_classes = num_classes
        self.generator = generator
        self.seen = 0
        """Samples offered so far."""
        self._filled = 0
        self._indices = np.zeros(options.size, np.int64)
        self._labels = np.zeros((options.size, num_classes), np.uint8)
        self._known = np.ones((options.size, num_classes), np.bool_)

    def __len__(self) -> int:
        return self._filled

    @property
    def size(self) -> int:
        """Capacity in samples."""
        return self.options.size

    @property
    def indices(self) -> IntArray:
        return self._indices[: self._filled]

    @property
    def labels(self) -> LabelArray:
        return self._labels[: self._filled]

    @property
    def known(self) -> BoolArray:
        return self._known[: self._filled]

    @abstractmethod
    def place(self, labels: LabelArray) -> int:
        """The slot for the next stream sample, or `NOT_STORED`.

        labels: (C,) uint8 in {0, 1}. Called once per sample, before `seen` counts it and before the slot is written.
        While the memory has room (`len(self) < self.size`) the answer must be `len(self)` or `NOT_STORED`.
        """

    def update(self, indices: IntArray, labels: LabelArray, known: BoolArray | None = None) -> IntArray:
        """Offer a batch, sample by sample in order.

        indices: (B,) int64; labels: (B, C) uint8; known: (B, C) bool, or None where every label is known.
        Returns (B,) int64, the slot given to each sample at its turn (`NOT_STORED` = -1 where it was not kept); a later
        sample of the same batch may have overwritten it.
        """
        slots = np.full(len(indices), NOT_STORED, np.int64)
        for i in range(len(indices)):
            slots[i] = slot = self.place(labels[i])
            self.seen += 1
            if slot != NOT_STORED:
                self._write(slot, int(indices[i]), labels[i], None if known is None else known[i])
        return slots

    def _write(self, slot: int, index: int, labels: LabelArray, known: BoolArray | None) -> None:
        if not 0 <= slot <= self._filled or slot >= self.size:
            raise ValueError(f"expected a slot from 0 to {min(self._filled, self.size - 1)} but got {slot}")
        self._filled = max(self._filled, slot + 1)
        self._indices[slot] = index
        self._labels[slot] = labels
        self._known[slot] = True if known is None else known

    def sample(self, n: int, generator: np.random.Generator) -> IntArray:
        """Up to n distinct slots, uniformly without replacement: (min(n, len(self)),) int64.

        Slots, not indices: a slot identifies the labels *as stored*, also where one image is stored twice. The caller
        brings the generator, so how much is replayed never changes what is stored.
        """
        return generator.choice(self._filled, size=min(n, self._filled), replace=False).astype(np.int64)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly: arrays and JSON values only."""
        return {
            "seen": self.seen,
            "indices": self.indices.copy(),
            "labels": self.labels.copy(),
            "known": self.known.copy(),
            "generator": self.generator.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.seen = int(state["seen"])
        self._filled = len(state["indices"])
        self._indices[: self._filled] = state["indices"]
        self._labels[: self._filled] = state["labels"]
        self._known[: self._filled] = state["known"]
        self.generator.bit_generator.state = state["generator"]
