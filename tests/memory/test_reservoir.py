import numpy as np
import pytest
from streams import samples

from clbench.memory import Size
from clbench.memory.reservoir import Reservoir, ReservoirOptions
from clbench.randomness import generator


def fill(size: int, items: int, seed: int = 0, off_by_one: bool = False) -> list[int]:
    memory = Reservoir(ReservoirOptions(size=Size(size), off_by_one=off_by_one), 2, generator(seed, "memory"))
    memory.update(samples(np.arange(items), np.zeros((items, 2), np.uint8)))
    return list(memory.indices)


def reference(size: int, items: int, off_by_one: bool) -> list[int]:
    """Algorithm R."""
    rng, kept = generator(0, "memory"), list(range(size))
    for n in range(size + 1, items + 1):  # the n-th sample, counted from 1
        slot = int(rng.integers(n - 1 if off_by_one else n))
        if slot < size:
            kept[slot] = n - 1
    return kept


@pytest.mark.parametrize("off_by_one", [False, True])
def test_every_slot_is_the_references_over_10_000_samples(off_by_one: bool) -> None:
    assert fill(100, 10_000, off_by_one=off_by_one) == reference(100, 10_000, off_by_one)


@pytest.mark.slow
def test_every_sample_has_the_same_chance() -> None:
    counts = np.zeros(50)
    for seed in range(2000):
        counts[fill(10, 50, seed)] += 1
    expected = 2000 * 10 / 50
    chi_square = ((counts - expected) ** 2 / expected / (1 - 10 / 50)).sum()
    assert chi_square < 85.4  # 49 degrees of freedom: exceeded once in a thousand


def test_the_releases_rule_always_takes_the_first_sample_past_the_capacity() -> None:
    # capacity 3, fourth sample: a slot among the 3 seen before it is always a slot of the memory
    assert all(3 in fill(3, 4, seed, off_by_one=True) for seed in range(50))
    assert sum(3 in fill(3, 4, seed) for seed in range(200)) < 180  # 3 of 4 by the textbook's rule
