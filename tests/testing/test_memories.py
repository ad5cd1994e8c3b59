"""Every breach of the memory's contract is found, and said."""

from typing import Any

import numpy as np
import pytest

from clbench.memory import NOT_STORED, Memory, Size, StreamMemory
from clbench.memory.prs import PRS
from clbench.memory.reservoir import Reservoir
from clbench.scenario.samples import Samples
from clbench.testing import check_memory

Patch = pytest.MonkeyPatch


def too_large(patch: Patch) -> None:
    patch.setattr(Reservoir, "update", lambda self, samples, cues=None: self.append(samples))


def by_batches(patch: Patch) -> None:
    """Says that it decides sample by sample, and keeps the first of each batch."""

    def update(self: Memory, samples: Samples, cues: Any = None) -> Any:
        slots = np.full(len(samples), NOT_STORED, np.int64)
        if len(self) < self.size:
            slots[0] = self.append(samples.rows(np.array([0])))[0]
        return slots

    patch.setattr(Reservoir, "update", update)


def unseeded(patch: Patch) -> None:
    rng = np.random.default_rng(0)

    def place(self: StreamMemory, labels: Any) -> int:
        return len(self) if len(self) < self.size else int(rng.integers(self.size))

    patch.setattr(Reservoir, "place", place)


def other_labels(patch: Patch) -> None:
    plain = Memory.write
    patch.setattr(Memory, "write", lambda self, slot, index, labels, known: plain(self, slot, index, 1 - labels, known))


def other_masks(patch: Patch) -> None:
    plain = Memory.write
    patch.setattr(Memory, "write", lambda self, slot, index, labels, known: plain(self, slot, index, labels, ~known))


def the_same_slot(patch: Patch) -> None:
    patch.setattr(Memory, "sample", lambda self, n, generator: np.zeros(n, np.int64))


def forgetful(patch: Patch) -> None:
    plain = PRS.load_state

    def load_state(self: PRS, state: dict[str, Any]) -> None:
        plain(self, state)
        self.stream_counts = np.zeros_like(self.stream_counts)

    patch.setattr(PRS, "load_state", load_state)


def without_payloads(patch: Patch) -> None:
    plain = Memory.load_state
    patch.setattr(
        Memory,
        "load_state",
        lambda self, state: plain(self, {**state, "payloads": {k: 0 * v for k, v in state["payloads"].items()}}),
    )


def uncounted(patch: Patch) -> None:
    patch.setattr(Memory, "payload_bytes", property(lambda self: 0))


def one_size(patch: Patch) -> None:
    patch.setattr(Size, "images", lambda self, classes: int(self.removesuffix("/class")))


def knowing(patch: Patch) -> None:
    plain = Memory.introduce

    def introduce(self: Memory, classes: int, columns: int) -> None:
        plain(self, classes, columns)
        self._known[:] = True

    patch.setattr(Memory, "introduce", introduce)


def asking(patch: Patch) -> None:
    patch.setattr(Reservoir, "needs", frozenset({"gradients"}))
    plain = Reservoir.update

    def update(self: Reservoir, samples: Samples, cues: Any = None) -> Any:
        cues.features(samples)
        return plain(self, samples, cues)

    patch.setattr(Reservoir, "update", update)


def keeping_nothing(patch: Patch) -> None:
    patch.setattr(Reservoir, "place", lambda self, labels: NOT_STORED)


@pytest.mark.parametrize(
    ("plant", "memory", "sentence"),
    [
        (too_large, "reservoir", "slots must be below the capacity"),
        (by_batches, "reservoir", "must give the same content"),
        (unseeded, "reservoir", "must give the same content"),
        (other_labels, "reservoir", "labels must be stored as they were offered"),
        (other_masks, "reservoir", "masks must be stored as they were offered"),
        (the_same_slot, "reservoir", "sample must give distinct filled slots"),
        (forgetful, "prs", "must go on exactly from its state"),
        (without_payloads, "reservoir", "payloads must follow their samples"),
        (uncounted, "reservoir", "payload_bytes must count"),
        (one_size, "reservoir", "N/class must count the classes"),
        (knowing, "reservoir", "nothing may be known of columns"),
        (asking, "reservoir", "must name them in `needs`"),
        (keeping_nothing, "reservoir", "must keep something"),
    ],
)
def test_a_breach_is_found(plant: Any, memory: str, sentence: str, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=sentence):
        check_memory(memory)
