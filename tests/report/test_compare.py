from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from clbench.errors import UsageError
from clbench.report.compare import (
    all_pairs,
    compare_rows,
    conclusion,
    find_row,
    holm,
    seeds_needed,
    sign_flip_test,
)
from clbench.report.rows import Row, collect
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


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


def test_rows_are_paired_seed_by_seed(store: Path, make: Make) -> None:
    for seed in (0, 1, 2):
        make("er", seed, offset=0.1 + 0.01 * seed)
    for seed in (1, 2, 3):
        make("lwf", seed)
    [found] = compare_rows(all_pairs(rows(store)), "mAP")
    assert found.seeds == (1, 2)  # the seeds' own noise cancels: what is left is the offset
    assert found.difference == pytest.approx(0.115) and found.sd == pytest.approx(0.01 / np.sqrt(2))
    assert found.p == 0.5 and found.mean_a - found.mean_b == pytest.approx(0.115)


def test_few_seeds_conclude_nothing(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed, offset=0.3)
        make("lwf", seed)
    sentence = conclusion(compare_rows(all_pairs(rows(store)), "mAP"))
    assert sentence == (
        "Nothing can be concluded: with 3 seeds this test's p cannot be smaller than 0.25; it takes at least 6 seeds "
        "to reach 0.05."
    )


def test_six_seeds_can_conclude(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed, offset=0.1 + 0.01 * seed)
        make("lwf", seed)
    found = compare_rows(all_pairs(rows(store)), "mAP")
    assert found[0].significant
    assert conclusion(found) == "er has a higher mAP than lwf, by 12.5 points over 6 seeds (p = 0.0312)."


def test_many_pairs_are_corrected_together(store: Path, make: Make) -> None:
    for seed in range(8):
        make("er", seed, offset=0.2 + 0.001 * seed)
        make("ewc", seed, offset=0.001 * (-1) ** seed)
        make("lwf", seed)
    found = compare_rows(all_pairs(rows(store)), "mAP")
    assert [pair.p_holm for pair in found] == pytest.approx(holm([pair.p for pair in found]))
    assert [pair.significant for pair in found] == [True, True, False]
    assert conclusion(found).endswith("; the other 1 pair(s) cannot be told apart.")
    _, ewc, lwf = rows(store)
    assert conclusion(compare_rows([(ewc, lwf)], "mAP")) == "It cannot be said that ewc and lwf differ in mAP (p = 1)."


@pytest.mark.parametrize(
    ("other", "axis"),
    [
        ({"manifest": "b" * 64}, "data manifest: aaaaaaaaaaaa against bbbbbbbbbbbb"),
        ({"protocol": {"images": "overlapping"}}, "images: exclusive against overlapping"),
        ({"view": "limited:5"}, "view: all against limited:5"),
        ({"scenario": "other"}, "scenario: made against other"),
    ],
)
def test_other_data_or_another_protocol_is_refused_by_its_axis(
    store: Path, make: Make, other: dict[str, object], axis: str
) -> None:
    make("er", 0)
    make("lwf", 0, **other)
    with pytest.raises(UsageError, match=axis):
        compare_rows(all_pairs(rows(store)), "mAP")


def test_what_cannot_be_compared_is_said(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1, FAILED, reason="it broke")
    make("lwf", 1)
    make("joint", 0, joint=True)
    er, joint, lwf = rows(store)
    with pytest.raises(UsageError, match="er and lwf to have a seed in common"):
        compare_rows([(er, lwf)], "mAP")
    with pytest.raises(UsageError, match="forgetting_mAP to be defined for joint"):
        compare_rows([(er, joint)], "forgetting_mAP")
    with pytest.raises(UsageError, match="Unknown metric 'mAp'; did you mean 'mAP'?"):
        compare_rows([(er, joint)], "mAp")
    assert compare_rows([(er, joint)], "mAP:minority")[0].ci95 is None


def test_rows_by_label_strategy_and_hash(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, changed={"head": "dlfl"})
    make("lwf", 0)
    found = rows(store)
    assert find_row(found, "er") is found[0]  # a label goes before a strategy
    assert find_row(found, "er (head=dlfl)") is found[1]
    assert find_row(found, "lwf") is found[2]
    make("lwf", 0, epochs=5)
    with pytest.raises(UsageError, match="Expected one row named 'lwf' but 2 are: 0001aaaa0000.*0005aaaa0000"):
        find_row(rows(store), "lwf")
    assert find_row(rows(store), "0005a").first.strategy == "lwf"
    with pytest.raises(UsageError, match="Unknown row 'lfw'; did you mean 'lwf'?"):
        find_row(found, "lfw")


def test_rows_on_class_orders_of_the_seeds_are_paired_by_seed(store: Path, make: Make) -> None:
    """Whatever seed each of them has first: the same seed has the same order."""
    for seed in (0, 1, 2):
        make("er", seed, drawn="d" * 64)
    for seed in (1, 2, 3):
        make("lwf", seed, drawn="d" * 64, offset=0.1)
    make("ewc", 0, drawn="e" * 64)
    er, ewc, lwf = sorted(collect(find_runs(store)), key=lambda row: row.label)
    [found] = compare_rows([(lwf, er)], "mAP")
    assert found.seeds == (1, 2) and found.difference == pytest.approx(0.1)
    with pytest.raises(UsageError, match=f"data manifest: {'d' * 12} against {'e' * 12}"):
        compare_rows([(er, ewc)], "mAP")
