import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from streams import long_tailed_tasks, samples

from clbench.arrays import FloatArray, LabelArray
from clbench.memory import NOT_STORED, Size
from clbench.memory.ocdm import OCDM, OCDMOptions, distances_without
from clbench.randomness import generator

A, B, AB, NONE = [1, 0], [0, 1], [1, 1], [0, 0]

small = st.integers(2, 7).flatmap(lambda n: arrays(np.uint8, (n, 4), elements=st.integers(0, 1)))


def make(size: int, columns: int, seed: int = 0, rho: float = 0.0) -> OCDM:
    return OCDM(OCDMOptions(size=Size(size), rho=rho), columns, generator(seed, "memory"))


def offer(memory: OCDM, *labels: list[int]) -> list[int]:
    rows = memory.seen + np.arange(len(labels))
    return list(memory.update(samples(rows, np.array(labels, np.uint8))))


def divergence(rows: list[list[int]], target: list[float]) -> float:
    """KL of the target from the shares of the labels in some rows, as it is defined; infinite without a label."""
    counts = [sum(row[i] for row in rows) for i in range(len(target))]
    if not sum(counts):
        return math.inf
    shares = [count / sum(counts) for count in counts]
    return sum(p * math.log(p / max(q, 1e-12)) for p, q in zip(target, shares, strict=True) if p > 0)


def shares(n: list[int], rho: float) -> list[float]:
    powers = [count**rho if count else 0.0 for count in n]
    return [power / sum(powers) if power else 0.0 for power in powers]


def kept(labels: LabelArray, size: int, rho: float, batch: int) -> list[int]:
    """What OCDM keeps of a stream, sorted, in plain loops and with the same draws."""
    rng, memory, n = generator(0, "memory"), list[int](), [0] * labels.shape[1]
    rows: list[list[int]] = labels.tolist()
    for start in range(0, len(rows), batch):
        new = list(range(start, min(start + batch, len(rows))))
        n = [count + sum(rows[index][i] for index in new) for i, count in enumerate(n)]
        target, every = shares(n, rho), [*memory, *new]
        while len(every) > size:
            without = [divergence([rows[other] for other in every if other != one], target) for one in every]
            ties = [one for one, distance in zip(every, without, strict=True) if distance <= min(without) + 1e-9]
            fewest = min(sum(rows[one]) for one in ties)
            ties = [one for one in ties if sum(rows[one]) == fewest]
            every.remove(ties[rng.integers(len(ties))])
        # The places of those that went are taken by new ones, in their order.
        fresh = iter(index for index in every if index >= start)
        memory = [old if old in every else next(fresh) for old in memory] + list(fresh)
    return memory


@pytest.mark.parametrize("rho", [0.0, -0.03, 0.5])
def test_every_slot_is_the_slow_references_over_1000_samples(rho: float) -> None:
    labels = long_tailed_tasks(1000, classes=6)
    memory = make(12, 6, rho=rho)
    for start in range(0, 1000, 5):
        rows = np.arange(start, start + 5)
        memory.update(samples(rows, labels[rows]))
    assert memory.indices.tolist() == kept(labels, 12, rho, 5)


@settings(deadline=None)
@given(labels=small, powers=arrays(np.float64, 4, elements=st.floats(0.1, 1)))
def test_every_distance_is_that_of_plain_loops(labels: LabelArray, powers: FloatArray) -> None:
    target, rows = powers / powers.sum(), labels.astype(np.float64)
    got = distances_without(rows, rows.sum(1), rows.sum(0), target)
    expected = [
        divergence([row for other, row in enumerate(labels.tolist()) if other != one], target.tolist())
        for one in range(len(labels))
    ]
    assert got == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(labels=small)
def test_one_deletion_is_the_best_of_all(labels: LabelArray) -> None:
    memory = make(len(labels) - 1, 4)
    memory.update(samples(np.arange(len(labels)), labels))
    target = shares(labels.sum(0).tolist(), 0.0)
    left = [list(rows) for rows in combinations(labels.tolist(), len(labels) - 1)]
    best = min(divergence(rows, target) for rows in left)
    assert divergence(memory.labels.tolist(), target) == pytest.approx(best, abs=1e-9)


def test_two_deletions_by_hand() -> None:
    for seed in range(20):
        memory = make(2, 2, seed)
        assert offer(memory, A, A) == [0, 1]
        # One A goes: two of each label are left. Then both labels on one sample go: one of each is left.
        slot, gone = offer(memory, B, AB)
        assert gone == NOT_STORED and memory.labels[slot].tolist() == B and memory.labels[1 - slot].tolist() == A


def test_greedy_is_not_the_best_of_all_subsets() -> None:
    """Which is why brute force over subsets is no oracle for more than one deletion."""
    rng, worse = np.random.default_rng(0), 0
    for _ in range(200):
        labels = rng.integers(0, 2, (7, 4)).astype(np.uint8)
        memory = make(3, 4)
        memory.update(samples(np.arange(7), labels))
        target = shares(labels.sum(0).tolist(), 0.0)
        found = divergence(memory.labels.tolist(), target)
        best = min(divergence(list(rows), target) for rows in combinations(labels.tolist(), 3))
        assert found >= best - 1e-9
        worse += found > best + 1e-6
    assert 0 < worse < 100


def test_labels_become_even_however_long_their_tail() -> None:
    labels = long_tailed_tasks(2000)
    memory = make(60, 12)
    for start in range(0, 2000, 10):
        rows = np.arange(start, start + 10)
        memory.update(samples(rows, labels[rows]))
    held, offered = memory.labels.sum(0), labels.sum(0)
    assert offered.max() > 5 * offered.min() and held.max() <= held.min() + 2


def test_the_exponent_moves_the_shares() -> None:
    labels = np.array([A] * 90 + [B] * 10, np.uint8)[np.random.default_rng(0).permutation(100)]
    for rho, expected in ((0.0, [6, 6]), (0.5, [9, 3])):  # 90^0.5 : 10^0.5 = 3 : 1
        memory = make(12, 2, rho=rho)
        memory.update(samples(np.arange(100), labels))
        assert memory.labels.sum(0).tolist() == expected


def test_samples_without_labels_go_where_nothing_brings_memory_nearer_to_its_target() -> None:
    memory = make(3, 2)
    offer(memory, A, B, NONE)
    assert offer(memory, AB) == [2]  # even as it is, and even without AB: the one without labels goes
    offer(memory, NONE, NONE, NONE)
    assert memory.labels.sum(1).min() == 1
    memory = make(2, 2)
    offer(memory, A, A, A)
    assert len(set(offer(memory, NONE, B))) == 2 and sorted(memory.labels.tolist()) == [B, A]


def test_the_last_sample_with_a_label_stays_and_a_stream_without_labels_fills_the_memory() -> None:
    memory = make(2, 2)
    offer(memory, A)
    for _ in range(10):
        offer(memory, NONE)
    assert A in memory.labels.tolist()
    memory = make(2, 2)
    for _ in range(10):
        offer(memory, NONE)
    assert len(memory) == 2


@pytest.mark.slow
def test_among_alike_samples_each_deletion_takes_any_with_the_same_chance() -> None:
    """So a sample is still there after k batches with probability (m / (m + b))^k: old ones thin out, exponentially."""
    size, batch, seeds = 4, 2, 3000
    there = np.zeros(size + 3 * batch)
    for seed in range(seeds):
        memory = make(size, 2, seed)
        offer(memory, *[A] * size)
        for _ in range(3):
            offer(memory, *[A] * batch)
        there[memory.indices] += 1
    chances = (size / (size + batch)) ** np.repeat([3, 3, 3, 2, 1], batch)  # the first four, and three batches
    scores = (there - seeds * chances) / np.sqrt(seeds * chances * (1 - chances))
    assert np.abs(scores).max() < 4


def test_a_slot_keeps_its_sample_until_that_is_deleted() -> None:
    labels = long_tailed_tasks(300)
    memory, moved = make(20, 12), 0
    for start in range(0, 300, 10):
        before = memory.indices.copy()
        rows = np.arange(start, start + 10)
        memory.update(samples(rows, labels[rows]))
        stayed = np.isin(before, memory.indices)
        moved += int((memory.indices[: len(before)][stayed] != before[stayed]).sum())
    assert moved == 0 and len(memory) == 20
