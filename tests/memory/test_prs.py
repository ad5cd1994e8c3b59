import math

import numpy as np
import pytest
from prs_reference import SlowPRS
from streams import long_tailed_tasks, samples

from clbench.memory import NOT_STORED, Size
from clbench.memory.prs import PRS, PRSOptions
from clbench.randomness import generator


def make(size: int, classes: int, rho: float = 0.0, official_bound: bool = False) -> PRS:
    return PRS(PRSOptions(size=Size(size), rho=rho, official_bound=official_bound), classes, generator(0, "memory"))


def agree(labels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], size: int, rho: float, official_bound: bool) -> int:
    """Offers a stream to both implementations with the same draws; returns the number of evictions."""
    fast = make(size, labels.shape[1], rho, official_bound)
    slow = SlowPRS(size, labels.shape[1], rho, official_bound, generator(0, "memory"))
    evictions = 0
    for index, row in enumerate(labels):
        [slot] = fast.update(samples(np.array([index]), row[None]))
        assert slot == slow.offer(index, row.tolist()), f"sample {index}"
        evictions += slot != NOT_STORED and index >= size
    assert fast.indices.tolist() == [index for index, _ in slow.memory]
    return evictions


REGIMES = pytest.mark.parametrize("rho", [-0.03, 0.0, 0.5])
BOUNDS = pytest.mark.parametrize("official_bound", [False, True])


@REGIMES
@BOUNDS
def test_every_slot_is_the_slow_references(rho: float, official_bound: bool) -> None:
    assert agree(long_tailed_tasks(1200), 60, rho, official_bound) > 150


@pytest.mark.slow
@REGIMES
@BOUNDS
def test_every_slot_is_the_slow_references_over_10_000_samples(rho: float, official_bound: bool) -> None:
    assert agree(long_tailed_tasks(10_000, seed=1), 100, rho, official_bound) > 300


def test_the_official_bound_changes_decisions_where_memory_is_far_from_its_target() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((1500, 20)) < np.linspace(0.9, 0.2, 20)).astype(np.uint8)  # many labels: an L1 above the size
    contents = []
    for official_bound in (False, True):
        memory = make(30, 20, official_bound=official_bound)
        memory.update(samples(np.arange(len(labels)), labels))
        contents.append(memory.indices.tolist())
    assert contents[0] != contents[1]
    assert agree(labels, 30, 0.0, True) > 20


def test_sample_in_by_hand() -> None:
    memory = make(4, 2)
    memory.update(samples(np.arange(4), np.array([[1, 0], [1, 0], [1, 1], [1, 0]], np.uint8)))
    # n = (4, 1), both active, rho 0: shares 1/2, targets 2
    assert memory.stream_counts.tolist() == [4, 1] and memory.shares.tolist() == [0.5, 0.5]
    assert memory.acceptance(np.array([1, 0], np.uint8)) == pytest.approx(2 / 4)
    assert memory.acceptance(np.array([0, 1], np.uint8)) == 1.0  # 1 <= 2
    weight = math.exp(-1) / (math.exp(-1) + math.exp(-4))  # softmax(-1, -4) of the second label
    assert memory.acceptance(np.array([1, 1], np.uint8)) == pytest.approx((1 - weight) * 0.5 + weight)


def test_the_exponent_moves_the_shares_by_hand() -> None:
    memory = make(10, 2, rho=0.5)
    memory.update(samples(np.arange(10), np.array([[1, 0]] * 9 + [[0, 1]], np.uint8)))
    assert memory.shares == pytest.approx([3 / 4, 1 / 4])  # 9^0.5 : 1^0.5


def test_sample_out_by_hand() -> None:
    # 40 samples with label 0 alone, 4 with labels 0 and 1, 4 with label 1 alone; rho 0: shares 1/2.
    # l = (44, 8): label 0 is 18 over target, label 1 as far below, so label 0 is drawn (the odds are exp(36) : 1),
    # and of its samples those that do not carry label 1, the one below target, are candidates: slots 4 to 43.
    labels = [[1, 1]] * 4 + [[1, 0]] * 40 + [[0, 1]] * 4
    memory = make(48, 2)
    memory.update(samples(np.arange(48), np.array(labels, np.uint8)))
    assert memory._victim() == 4  # all 40 leave the same distance: the first


def test_a_label_never_seen_is_always_admitted() -> None:
    memory = make(10, 3)
    memory.update(samples(np.arange(500), np.tile(np.array([[1, 0, 0]], np.uint8), (500, 1))))
    assert memory.acceptance(np.array([0, 1, 0], np.uint8)) == 1.0
    [slot] = memory.update(samples(np.array([500]), np.array([[0, 0, 1]], np.uint8)))
    assert slot != NOT_STORED and memory.indices[slot] == 500


def test_a_sample_without_labels_is_never_admitted_once_full() -> None:
    memory = make(10, 3)
    memory.update(samples(np.arange(10), np.eye(3, dtype=np.uint8)[np.arange(10) % 3]))
    slots = memory.update(samples(np.arange(10, 300), np.zeros((290, 3), np.uint8)))
    assert (slots == NOT_STORED).all()


def test_the_first_samples_are_all_stored_even_without_labels() -> None:
    memory = make(10, 3)
    assert memory.update(samples(np.arange(10), np.zeros((10, 3), np.uint8))).tolist() == list(range(10))


def test_equal_shares_evict_from_the_largest_class() -> None:
    memory = make(60, 3)
    memory.update(samples(np.arange(60), np.eye(3, dtype=np.uint8)[[0] * 40 + [1] * 15 + [2] * 5]))
    for step in range(10):
        before = memory.labels.sum(axis=0)
        [slot] = memory.update(samples(np.array([100 + step]), np.array([[0, 0, 1]], np.uint8)))
        assert slot != NOT_STORED
        assert memory.labels.sum(axis=0).tolist() == [before[0] - 1, before[1], before[2] + 1]


@pytest.mark.slow
@pytest.mark.parametrize("rho", [-0.03, 0.0, 1.0])
def test_counts_equal_a_recount_and_active_shares_sum_to_one(rho: float) -> None:
    memory = make(200, 12, rho)
    labels = long_tailed_tasks(10_000)
    for start in range(0, len(labels), 500):
        memory.update(samples(np.arange(start, start + 500), labels[start : start + 500]))
        assert memory.memory_counts.tolist() == memory.labels.sum(axis=0).tolist()
        assert memory.stream_counts.tolist() == labels[: start + 500].sum(axis=0).tolist()
        active = memory.memory_counts > 0
        assert memory.shares[active].sum() == pytest.approx(1)


def test_memory_is_nearer_to_equal_shares_than_a_reservoir() -> None:
    from clbench.memory.reservoir import Reservoir, ReservoirOptions

    labels = long_tailed_tasks(5000)
    spreads = []
    for memory in (make(100, 12), Reservoir(ReservoirOptions(size=Size(100)), 12, generator(0, "memory"))):
        memory.update(samples(np.arange(len(labels)), labels))
        counts = memory.labels.sum(axis=0)
        spreads.append(counts.std() / counts.mean())
    assert spreads[0] < 0.5 * spreads[1]
