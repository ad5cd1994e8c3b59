import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from streams import long_tailed_tasks, samples

from clbench.arrays import IntArray, LabelArray
from clbench.memory import NOT_STORED, Size
from clbench.memory.class_balanced import ClassBalanced
from clbench.memory.reservoir import Reservoir
from clbench.randomness import generator


def make(size: int, columns: int, seed: int = 0) -> ClassBalanced:
    return ClassBalanced(ClassBalanced.Options(size=Size(size)), columns, generator(seed, "memory"))


def offer(memory: ClassBalanced, *labels: list[int]) -> list[int]:
    rows = memory.seen + np.arange(len(labels))
    return [int(slot) for slot in memory.update(samples(rows, np.array(labels, np.uint8)))]


def slow(labels: LabelArray, size: int) -> list[int]:
    """The rule in plain loops: what stands in each slot."""
    rng, memory = generator(0, "memory"), list[int]()
    rows: list[list[int]] = labels.tolist()

    def rarity(row: list[int]) -> float:
        return min((sum(rows[index][i] for index in memory) for i, y in enumerate(row) if y), default=math.inf)

    for new, row in enumerate(rows):
        if len(memory) < size:
            memory.append(new)
            continue
        rarities = [rarity(rows[index]) for index in memory]
        if rarity(row) < max(rarities):
            candidates = [slot for slot, value in enumerate(rarities) if value == max(rarities)]
            memory[candidates[rng.integers(len(candidates))]] = new
    return memory


def test_every_slot_is_the_slow_references_over_3000_samples() -> None:
    labels = long_tailed_tasks(3000, classes=6)
    memory = make(15, 6)
    memory.update(samples(np.arange(3000), labels))
    assert memory.indices.tolist() == slow(labels, 15)


@settings(deadline=None)
@given(classes=arrays(np.int64, st.integers(1, 80), elements=st.integers(0, 3)), size=st.integers(1, 12))
def test_with_one_label_a_sample_classes_differ_by_one_at_most(classes: IntArray, size: int) -> None:
    """Unless the stream had too few of a class: then all of it that there was."""
    memory = make(size, 4)
    memory.update(samples(np.arange(len(classes)), np.eye(4, dtype=np.uint8)[classes]))
    held, offered = memory.labels.sum(0, np.int64), np.bincount(classes, minlength=4)
    scarce = held < held.max() - 1
    assert (held[scarce] == offered[scarce]).all()


def test_a_sample_with_a_rare_label_stays_by_hand() -> None:
    for seed in range(20):
        memory = make(4, 3, seed)
        offer(memory, [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0])  # l = (4, 1, 0); rarities 4, 1, 4, 4
        assert offer(memory, [1, 0, 0]) == [NOT_STORED]  # 4 is not below 4
        (slot,) = offer(memory, [1, 0, 1])  # 0 is: it takes one that has the first label alone
        assert slot in (0, 2, 3) and memory.memory_counts.tolist() == [4, 1, 1]
        assert memory.labels[1].tolist() == [1, 1, 0]


def test_samples_without_labels_go_first_and_never_come_into_a_full_memory() -> None:
    memory = make(2, 2)
    offer(memory, [1, 0], [0, 0])
    assert offer(memory, [0, 0]) == [NOT_STORED]
    assert offer(memory, [1, 0]) == [1]
    assert offer(memory, [0, 0]) == [NOT_STORED]


@pytest.mark.parametrize("seed", range(3))
def test_rare_labels_have_a_greater_part_than_in_a_reservoir(seed: int) -> None:
    labels = long_tailed_tasks(3000, seed=seed)
    least = []
    for policy in (ClassBalanced, Reservoir):
        memory = policy(policy.Options(size=Size(120)), 12, generator(seed, "memory"))
        memory.update(samples(np.arange(3000), labels))
        least.append(memory.labels.sum(0).min())
    assert least[0] >= 2 * least[1] and least[0] >= 10


def test_counts_equal_a_recount_as_classes_come_and_through_a_state() -> None:
    labels = long_tailed_tasks(600)
    memory, other = make(30, 4), make(30, 4, seed=7)
    memory.update(samples(np.arange(200), labels[:200, :4]))
    memory.introduce(8, 12)
    memory.update(samples(200 + np.arange(200), labels[200:400]))
    assert memory.memory_counts.tolist() == memory.labels.sum(0).tolist()
    other.load_state(memory.state())
    assert other.memory_counts.tolist() == memory.memory_counts.tolist()
