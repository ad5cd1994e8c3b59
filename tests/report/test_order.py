import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.report.order import HIGHER, best_first, better


@pytest.mark.parametrize("metric", [*HIGHER, "mAP:minority", "CF1:tail"])
def test_more_is_better(metric: str) -> None:
    assert better(metric) == 1


@pytest.mark.parametrize("metric", ["forgetting_mAP", "forgetting_CF1_relative", "forgetting_mAP:minority"])
def test_less_forgetting_is_better(metric: str) -> None:
    assert better(metric) == -1


@pytest.mark.parametrize("metric", ["classes", "positive_angle", "train_seconds", "rank"])
def test_of_others_nothing_is_better(metric: str) -> None:
    assert better(metric) == 0


def test_the_order_by_hand() -> None:
    values = [0.2, None, 0.9, 0.2, 0.5, 0.99]
    last = [0, 0, 1, 0, 0, 2]
    assert best_first(values, 1, last) == [4, 0, 3, 1, 2, 5]
    assert best_first(values, -1, last) == [0, 3, 4, 1, 2, 5]
    assert best_first([], 1, []) == []


@given(st.lists(st.tuples(st.none() | st.floats(-1, 1), st.integers(0, 2)), max_size=8), st.sampled_from([1, -1]))
def test_parts_stay_apart_and_are_ordered(rows: list[tuple[float | None, int]], sign: int) -> None:
    places = best_first([value for value, _ in rows], sign, [part for _, part in rows])
    assert sorted(places) == list(range(len(rows)))
    for above, below in zip(places, places[1:], strict=False):
        (a, part_a), (b, part_b) = rows[above], rows[below]
        assert part_a <= part_b
        if part_a == part_b and b is not None:
            assert a is not None and sign * a >= sign * b
            assert a != b or above < below
