"""What every memory must do."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from clbench import plugins
from clbench.arrays import ScoreArray
from clbench.memory import NOT_STORED, Cues, Memory, StreamMemory
from clbench.randomness import generator
from clbench.scenario.samples import Samples
from clbench.testing.states import copied

CLASSES = 6
BATCH = 7


class MadeCues(Cues):
    """Numbers that depend on the sample alone, for those cues that a memory says it needs."""

    def __init__(self, needs: frozenset[str]) -> None:
        self._needs = needs

    def features(self, samples: Samples) -> ScoreArray:
        return self._made("features", samples)

    def gradients(self, samples: Samples, *, mean: bool = False) -> ScoreArray:
        rows = self._made("gradients", samples)
        return rows.mean(axis=0, keepdims=True) if mean else rows

    def _made(self, cue: str, samples: Samples) -> ScoreArray:
        assert cue in self._needs, f"a memory that asks for {cue} must name them in `needs`"
        rows = [generator(0, cue, int(index)).standard_normal(8) for index in samples.indices]
        return np.array(rows, np.float32).reshape(-1, 8)


def check_memory(name: str, *, size: int = 20, items: int = 300) -> None:
    """Capacity, rows that belong together, seeds, distinct slots, payloads, growing labels, exact state.

    A `StreamMemory` must not depend on how the stream is cut into batches.
    """
    stream = _stream(items)
    memory, twin = _made(name, str(size)), _made(name, str(size))
    for batch in _batches(stream, BATCH):
        _offered(memory, batch)
    for batch in _batches(stream, items if isinstance(twin, StreamMemory) else BATCH):
        _offered(twin, batch)
    for each in (memory, twin):
        each.settle(stream, _cues(each))
    assert len(memory) >= 5, "a memory must keep something of a stream"
    assert np.array_equal(memory.indices, twin.indices), "the same stream and seed must give the same content"
    assert np.array_equal(memory.labels, stream.labels[memory.indices]), "labels must be stored as they were offered"
    assert np.array_equal(memory.known, stream.known[memory.indices]), "masks must be stored as they were offered"
    drawn = memory.sample(5, generator(2, "sample"))
    assert len(set(drawn.tolist())) == 5 and (drawn < len(memory)).all(), "sample must give distinct filled slots"
    _check_settled_and_resumed(name, memory, stream, size)
    _check_payloads(name, stream, size)
    _check_growing(name, stream)


def _check_settled_and_resumed(name: str, memory: Memory, stream: Samples, size: int) -> None:
    copy = _made(name, str(size), seed=3)
    copy.load_state(copied(memory.state()))
    for each in (memory, copy):
        each.settle(stream, _cues(each))
        assert len(each) <= size, "a memory must not exceed its capacity at a task's end"
        for batch in _batches(stream, BATCH):
            _offered(each, batch)
    assert np.array_equal(memory.indices, copy.indices), "a memory must go on exactly from its state"


def _check_payloads(name: str, stream: Samples, size: int) -> None:
    """What is kept beside a sample stays with it, wherever it moves and through a state."""
    import torch

    memory = _made(name, str(size))
    memory.keep("twice", (2,), torch.float32, torch.device("cpu"))
    for batch in _batches(stream, BATCH):
        slots = memory.update(batch, _cues(memory))
        memory.put(slots, {"twice": torch.from_numpy(np.stack([batch.indices, 2 * batch.indices], 1))})
    copy = _made(name, str(size))
    copy.keep("twice", (2,), torch.float32, torch.device("cpu"))
    copy.load_state(copied(memory.state()))
    for each in (memory, copy):
        every = np.arange(len(each))
        kept = each.kept(every)["twice"].numpy()
        assert np.array_equal(kept, np.stack([each.indices, 2 * each.indices], 1)), "payloads must follow their samples"
        assert each.payload_bytes == 8 * len(each), "payload_bytes must count the filled slots"


def _check_growing(name: str, stream: Samples) -> None:
    """`N/class`: the capacity grows with the classes, and labels with the columns; nothing is known of new ones."""
    memory = _made(name, "3/class", columns=2)
    for classes, rows in ((2, range(100)), (4, range(100, 200)), (CLASSES, range(200, 300))):
        if classes > 2:
            memory.introduce(2, classes)
        assert memory.size == 3 * classes, "N/class must count the classes introduced so far"
        for batch in _batches(stream.rows(np.array(rows)).cut(classes), BATCH):
            _offered(memory, batch)
            assert memory.labels.shape == memory.known.shape == (len(memory), classes), "labels must grow"
    for slot, index in enumerate(memory.indices):
        told = min(CLASSES, 2 + 2 * (index // 100))
        assert not memory.known[slot, told:].any(), "nothing may be known of columns that came after a sample"


def _made(name: str, size: str, *, seed: int = 0, columns: int = CLASSES) -> Any:
    policy = plugins.load("memory", name)
    memory = policy(policy.Options(size=size), columns, generator(seed, "memory"))
    memory.introduce(columns, columns)
    return memory


def _stream(items: int) -> Samples:
    rng = generator(1, "check_memory")
    labels = (rng.random((items, CLASSES)) < np.linspace(0.6, 0.05, CLASSES)).astype(np.uint8)
    return Samples(np.arange(items), labels, rng.random((items, CLASSES)) < 0.8)


def _batches(stream: Samples, size: int) -> Iterator[Samples]:
    for start in range(0, len(stream), size):
        yield stream.rows(np.arange(start, min(start + size, len(stream))))


def _offered(memory: Memory, batch: Samples) -> None:
    slots = memory.update(batch, _cues(memory))
    assert slots.shape == (len(batch),), "update must give a slot for each sample"
    assert ((slots == NOT_STORED) | ((slots >= 0) & (slots < memory.size))).all(), "slots must be below the capacity"
    assert len(memory) <= memory.size, "a memory must not exceed its capacity"


def _cues(memory: Memory) -> Cues | None:
    """As in a run: a memory that needs nothing is given none."""
    return MadeCues(memory.needs) if memory.needs else None
