import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from clbench.report.paired import common_seeds, holm, paired_tests, seeds_needed, sign_flip_test


def scipys(differences: np.ndarray, **options: object) -> float:
    def mean(x: np.ndarray, axis: int) -> np.ndarray:
        found: np.ndarray = np.mean(x, axis=axis)
        return found

    result = permutation_test((differences,), mean, permutation_type="samples", **options)
    return float(result.pvalue)


@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), min_size=2, max_size=8))
def test_the_exact_test_is_scipys(values: list[float]) -> None:
    differences = np.array(values)
    p, exact = sign_flip_test(differences)
    assert exact and p == pytest.approx(scipys(differences, n_resamples=np.inf))


def test_the_exact_test_by_hand() -> None:
    # 3 + 2 + 1: of the eight patterns only +++ and --- reach 6; for 3 + 2 - 1 = 4 also ++- and --+ do.
    assert sign_flip_test(np.array([3.0, 2.0, 1.0])) == (0.25, True)
    assert sign_flip_test(np.array([3.0, 2.0, -1.0])) == (0.5, True)


def test_many_seeds_are_estimated_the_same_way_each_time() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1.0, 20)
    p, exact = sign_flip_test(differences)
    assert not exact and (p, exact) == sign_flip_test(differences)
    assert p == pytest.approx(scipys(differences, n_resamples=200_000, rng=np.random.default_rng(1)), abs=0.006)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert sign_flip_test(np.zeros(4)) == (1.0, True)
    assert sign_flip_test(np.zeros(20)) == (1.0, False)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_smallest_p_that_n_seeds_can_give(n: int) -> None:
    assert sign_flip_test(np.arange(1.0, n + 1))[0] == 2.0 ** (1 - n)


def test_a_test_at_five_percent_is_wrong_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(0)
    wrong = sum(sign_flip_test(rng.normal(size=8))[0] <= 0.05 for _ in range(2000))
    assert 0.03 <= wrong / 2000 <= 0.06


def test_holm_by_hand() -> None:
    # sorted 0.005 0.01 0.03 0.04, times 4 3 2 1: 0.02 0.03 0.06 0.04 -> the last may not fall below 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_the_raw_p_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    found = holm(p_values)
    for p, corrected in zip(p_values, found, strict=True):
        assert p <= corrected <= min(1.0, p * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(found)[order]) >= 0)


def test_how_many_seeds_it_takes() -> None:
    assert seeds_needed(1) == 6 and seeds_needed(2) == 7 and seeds_needed(15) == 10
    for pairs in range(1, 30):
        n = seeds_needed(pairs)
        assert pairs * 2.0 ** (1 - n) <= 0.05 < pairs * 2.0 ** (2 - n)


def test_each_pair_is_tested_on_its_own_common_seeds_and_all_are_corrected_together() -> None:
    a = {seed: 1.0 + seed for seed in range(8)}
    b = {seed: 0.5 * seed for seed in range(2, 9)}
    first, second = paired_tests([(a, b), (b, a)])
    assert first.seeds == second.seeds == common_seeds(b, a) == tuple(range(2, 8))
    assert first.first.tolist() == [a[seed] for seed in range(2, 8)] and first.second.tolist() == second.first.tolist()
    assert first.difference == -second.difference == pytest.approx(1 + 0.5 * np.mean(range(2, 8)))
    assert (first.p, first.p_holm, first.exact, first.significant) == (2 / 64, 4 / 64, True, False)


def test_without_a_common_seed_there_is_no_evidence() -> None:
    [pair] = paired_tests([({0: 1.0}, {1: 2.0})])
    assert pair.seeds == () and pair.p == pair.p_holm == 1.0 and not pair.significant
