"""What holds for every memory, whatever its policy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from streams import samples

from clbench import Memory, plugins
from clbench.arrays import IntArray, LabelArray
from clbench.errors import UsageError
from clbench.memory import NOT_STORED, Size, StreamMemory
from clbench.options import build
from clbench.randomness import generator
from clbench.scenario.samples import Samples
from clbench.testing.memories import MadeCues

MEMORIES = pytest.mark.parametrize("name", sorted(plugins.available("memory")))
CLASSES = 4
EYE = np.eye(CLASSES, dtype=np.uint8)

streams = st.integers(0, 40).flatmap(lambda n: arrays(np.uint8, (n, CLASSES), elements=st.integers(0, 1)))
sizes = st.integers(1, 12)


def make(name: str, size: int, seed: int = 0) -> Memory:
    policy: Any = plugins.load("memory", name)
    memory: Memory = policy(policy.Options(size=Size(size)), CLASSES, generator(seed, "memory"))
    return memory


def offer(memory: Memory, offered: Samples) -> IntArray:
    """A batch, with made cues where it needs some."""
    return memory.update(offered, MadeCues(memory.needs) if memory.needs else None)


def learn(memory: Memory, offered: Samples) -> None:
    """A whole task of one batch."""
    offer(memory, offered)
    memory.settle(offered, MadeCues(memory.needs) if memory.needs else None)


def fills_at_once(memory: Memory) -> bool:
    """Whether it decides within a task, and not only at its end, when it knows all of its samples."""
    return type(memory).settle is Memory.settle


@pytest.mark.slow
@MEMORIES
@settings(deadline=None, max_examples=60)
@given(labels=streams, size=sizes, batch=st.integers(1, 7))
def test_rows_are_what_was_offered_and_a_memory_is_full_as_soon_as_it_can_be(
    name: str, labels: LabelArray, size: int, batch: int
) -> None:
    known = labels[:, ::-1] > 0
    memory, twin = make(name, size), make(name, size)
    for start in range(0, len(labels), batch):
        rows = np.arange(start, min(start + batch, len(labels)))
        for each in (memory, twin):
            offer(each, samples(rows, labels[rows], known[rows]))
        assert len(memory) == (min(size, rows[-1] + 1) if fills_at_once(memory) else 0)
    for each in (memory, twin):
        each.settle(samples(np.arange(len(labels)), labels, known), MadeCues(each.needs))
    assert len(memory) <= size and (len(memory) > 0) == (labels.any() if not fills_at_once(memory) else len(labels) > 0)
    assert memory.indices.tolist() == twin.indices.tolist()
    assert len(set(memory.indices.tolist())) == len(memory)
    assert np.array_equal(memory.labels, labels[memory.indices])
    assert np.array_equal(memory.known, known[memory.indices])
    assert memory.seen == len(labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in plugins.available("memory") if isinstance(make(n, 1), StreamMemory)])
@settings(deadline=None, max_examples=60)
@given(labels=streams, size=sizes, batch=st.integers(1, 7))
def test_batches_do_not_matter_to_a_memory_of_the_stream(name: str, labels: LabelArray, size: int, batch: int) -> None:
    whole, parts = make(name, size), make(name, size)
    whole.update(samples(np.arange(len(labels)), labels))
    for start in range(0, len(labels), batch):
        rows = np.arange(start, min(start + batch, len(labels)))
        parts.update(samples(rows, labels[rows]))
    assert whole.indices.tolist() == parts.indices.tolist()


@pytest.mark.slow
@MEMORIES
@settings(deadline=None, max_examples=60)
@given(labels=streams, size=sizes)
def test_slots_say_where_each_sample_went(name: str, labels: LabelArray, size: int) -> None:
    memory = make(name, size)
    content: dict[int, int] = {}
    for index, slot in enumerate(offer(memory, samples(np.arange(len(labels)), labels))):
        if slot != NOT_STORED:
            content[int(slot)] = index
    assert [content[slot] for slot in range(len(memory))] == memory.indices.tolist()


@pytest.mark.slow
@MEMORIES
@settings(deadline=None, max_examples=60)
@given(first=streams, second=streams, size=sizes)
def test_a_memory_goes_on_exactly_from_its_state(name: str, first: LabelArray, second: LabelArray, size: int) -> None:
    memory, other = make(name, size), make(name, size, seed=5)
    learn(memory, samples(np.arange(len(first)), first))
    other.load_state(memory.state())
    for each in (memory, other):
        learn(each, samples(100 + np.arange(len(second)), second))
    assert memory.indices.tolist() == other.indices.tolist()
    assert np.array_equal(memory.labels, other.labels)


@MEMORIES
def test_a_state_is_a_copy(name: str) -> None:
    memory = make(name, 5)
    learn(memory, samples(np.arange(5), EYE[np.arange(5) % CLASSES]))
    state, indices = memory.state(), memory.indices.tolist()
    learn(memory, samples(np.arange(5, 100), EYE[np.arange(95) % CLASSES]))
    assert state["indices"].tolist() == indices and sorted(indices) == [0, 1, 2, 3, 4] and state["seen"] == 5


@MEMORIES
def test_samples_are_distinct_uniform_and_leave_the_memory_alone(name: str) -> None:
    memory = make(name, 10)
    learn(memory, samples(np.arange(10), EYE[np.arange(10) % CLASSES]))
    before = str(memory.generator.bit_generator.state)
    counts = np.zeros(10)
    rng = generator(0, "replay")
    for _ in range(2000):
        slots = memory.sample(3, rng)
        assert len(set(slots.tolist())) == 3
        counts[slots] += 1
    assert counts.min() > 500 and counts.max() < 700  # 600 each
    assert sorted(memory.sample(99, rng).tolist()) == list(range(10))
    assert str(memory.generator.bit_generator.state) == before


@MEMORIES
def test_labels_are_known_unless_the_protocol_hides_them(name: str) -> None:
    known = np.tri(4, CLASSES, dtype=np.bool_)
    memory = make(name, 4)
    learn(memory, samples(np.arange(4), EYE))
    assert memory.known.dtype == np.bool_ and memory.known.all() and len(memory) == 4
    memory = make(name, 4)
    slots = offer(memory, samples(np.arange(4), EYE, known))
    assert slots.dtype == np.int64 and np.array_equal(
        memory.known[slots[slots != NOT_STORED]], known[slots != NOT_STORED]
    )
    assert (slots != NOT_STORED).all() == fills_at_once(memory)


def test_a_slot_beyond_the_last_is_found_out() -> None:
    class Next(StreamMemory):
        def place(self, labels: LabelArray) -> int:
            return len(self)

    memory = Next(StreamMemory.Options(size=Size(2)), CLASSES, generator(0))
    with pytest.raises(ValueError, match="expected a slot below the capacity of 2 but got 2"):
        memory.update(samples(np.arange(3), np.zeros((3, CLASSES), np.uint8)))


def test_a_policy_that_leaves_a_gap_is_found_out() -> None:
    class Gap(StreamMemory):
        def place(self, labels: LabelArray) -> int:
            return 3

    memory = Gap(StreamMemory.Options(size=Size(5)), CLASSES, generator(0))
    with pytest.raises(ValueError, match="expected a slot from 0 to 0 but got 3"):
        memory.update(samples(np.array([0]), np.zeros((1, CLASSES), np.uint8)))


def test_a_size_is_a_number_of_images_or_so_many_for_each_class() -> None:
    assert [Size("20").images(classes) for classes in (0, 3)] == [20, 20]
    assert [Size("20/class").images(classes) for classes in (0, 3)] == [0, 60]
    assert (Size(7), Size("007"), Size("03/class")) == ("7", "7", "3/class")
    for text in ("0", "0/class", "-1", "1.5", "3/klass", "٣", "1e3", ""):
        with pytest.raises(ValueError, match="expected a size of N images or N/class"):
            Size(text)


def test_another_size_is_one_sentence() -> None:
    with pytest.raises(UsageError) as error:
        build(StreamMemory.Options, {"size": "3/klass"})
    assert str(error.value) == "Expected option size to be N images or N/class, with N at least 1, but got '3/klass'."
