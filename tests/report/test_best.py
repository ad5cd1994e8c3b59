from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from clbench.report.best import BEST, SECOND, Standing, note, standing
from clbench.report.rows import Row, collect
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def set_values(row: Row, metric: str, values: Sequence[float | None]) -> None:
    """One value for each seed that is done."""
    for run, value in zip(row.done, values, strict=True):
        run.metrics["final"][metric] = value


def three(store: Path, make: Make, seeds: int) -> list[Row]:
    """er, ewc and lwf on so many seeds."""
    for seed in range(seeds):
        for name in ("er", "ewc", "lwf"):
            make(name, seed)
    return rows(store)


def test_with_few_seeds_nothing_is_best(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed, offset=0.3 + 0.01 * seed)
        make("lwf", seed)
        make("ewc", seed, offset=-0.2 + 0.01 * seed)
    found = standing(rows(store), "mAP")
    assert found == Standing({}, 6, 3)
    assert note([found]) == (
        "Nothing is marked as best: 6 common seeds are too few to test it, 7 are the least (paired permutation tests "
        "over seeds, Holm's correction over all pairs, 5 %)."
    )


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "styles"), [(6, {}), (7, {1: BEST, 2: SECOND})])
def test_best_and_second_of_three_take_seven_seeds(store: Path, make: Make, seeds: int, styles: dict[int, str]) -> None:
    er, ewc, lwf = found = three(store, make, seeds)
    for row, start in ((er, 0.1), (ewc, 0.5), (lwf, 0.3)):
        set_values(row, "CF1", [start + 0.01 * seed * start for seed in range(seeds)])
    assert standing(found, "CF1") == Standing(styles, seeds, 3)


def test_two_rows_take_six_seeds_and_the_loser_is_no_second(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed, offset=0.1)
    assert standing(rows(store), "mAP") == Standing({1: BEST}, 6, 1)  # p = 2/64
    assert note([standing(rows(store), "mAP")]) == (
        "Bold: best; underlined: second best; only where the differences to all rows below are significant (paired "
        "permutation tests over seeds, Holm's correction over all pairs, 5 %). Bounds and leaked weights do not "
        "compete."
    )


@pytest.mark.slow
def test_a_difference_that_is_not_significant_is_not_marked(store: Path, make: Make) -> None:
    for seed in range(8):
        make("er", seed, offset=0.1 * (-1) ** seed)
        make("lwf", seed)
        make("ewc", seed, offset=-0.5)
    found = standing(rows(store), "mAP")
    assert found == Standing({}, 8, 3)  # though the second is certainly better than the third
    assert note([found, None]) == (
        "Nothing is marked as best: no row differs significantly from all others (paired permutation tests over seeds, "
        "Holm's correction over all pairs, 5 %)."
    )


@pytest.mark.slow
def test_a_best_without_a_second(store: Path, make: Make) -> None:
    er, ewc, lwf = found = three(store, make, 8)
    set_values(er, "OF1", [0.9] * 8)
    set_values(ewc, "OF1", [0.5, 0.4] * 4)
    set_values(lwf, "OF1", [0.4, 0.5] * 4)
    assert standing(found, "OF1") == Standing({0: BEST}, 8, 3)


def test_less_forgetting_is_better(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed)
    found = rows(store)
    for run in found[0].done:
        run.metrics["final"]["forgetting_mAP"] -= 0.1 + 0.01 * run.seed
    result = standing(found, "forgetting_mAP")
    assert result is not None and result.styles == {0: "best"}
    assert standing(found, "train_seconds") is None and standing(found[:1], "mAP") is None


@pytest.mark.parametrize(
    "metric",
    [
        *("mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1"),
        *("average_mAP", "average_CF1", "average_OF1"),
    ],
)
def test_of_all_other_metrics_more_is_better(store: Path, make: Make, metric: str) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed)
    found = rows(store)
    set_values(found[0], metric, [0.5] * 6)
    set_values(found[1], metric, [0.75] * 6)
    assert standing(found, metric) == Standing({1: BEST}, 6, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "styles"), [(7, {}), (8, {3: BEST, 2: SECOND})])
def test_of_four_rows_all_six_pairs_are_tested(store: Path, make: Make, seeds: int, styles: dict[int, str]) -> None:
    for seed in range(seeds):
        for name, offset in (("er", 0.0), ("ewc", 0.1), ("finetune", 0.2), ("lwf", 0.3)):
            make(name, seed, offset=offset)
    assert standing(rows(store), "mAP") == Standing(styles, seeds, 6)


@pytest.mark.slow
def test_the_best_differs_from_every_other_row_not_from_the_next_alone(store: Path, make: Make) -> None:
    er, ewc, lwf = found = three(store, make, 8)
    set_values(er, "CF1", [0.9] * 8)
    set_values(ewc, "CF1", [0.8] * 8)
    set_values(lwf, "CF1", [0.99, 0.99, 0.99, 0.99, 0.99, 0.1, 0.1, 0.1])  # the lowest mean, and above er on five seeds
    assert standing(found, "CF1") == Standing({}, 8, 3)


def test_a_groups_column_is_judged_by_the_groups_values(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed)
    found = rows(store)
    for run in found[1].done:
        run.metrics["groups"]["minority"]["mAP"] += 0.1
    assert standing(found, "mAP:minority") == Standing({1: BEST}, 6, 1)
    assert standing(found, "mAP") == standing(found, "mAP:majority") == Standing({}, 6, 1)


@pytest.mark.slow
def test_rows_that_do_not_compete_neither_win_nor_count(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed, leak="it saw them", offset=0.9)
        make("ewc", seed)
        make("finetune", seed, FAILED, reason="it broke")
        make("joint", seed, joint=True, offset=0.9)
        make("lwf", seed, offset=0.1)
    assert standing(rows(store), "mAP") == Standing({4: BEST}, 6, 1)


@pytest.mark.slow
def test_only_common_seeds_are_counted_and_a_row_without_a_value_is_left_out(store: Path, make: Make) -> None:
    for seed in range(7):
        make("er", seed)
        make("ewc", seed + 1, offset=0.1)
        make("lwf", seed)
    found = rows(store)
    set_values(found[2], "mAP", [None] + [0.99] * 6)
    assert standing(found, "mAP") == Standing({1: BEST}, 6, 1)
    set_values(found[1], "mAP", [0.5, None] + [0.5] * 5)
    assert standing(found, "mAP") is None  # er is alone


def test_a_note_where_nobody_competes_or_some_column_has_a_best() -> None:
    assert note([]) == note([None]) == "Nothing is marked as best: fewer than two rows compete."
    assert note([Standing({}, 8, 3), Standing({0: BEST}, 8, 3)]).startswith("Bold: best;")
    assert "no row differs significantly" in note([Standing({}, 6, 1)])  # six seeds are enough for one test
    few = note([Standing({}, 3, 1), Standing({}, 4, 3)])  # the most seeds, and the fewest that any column needs
    assert few.startswith("Nothing is marked as best: 4 common seeds are too few to test it, 6 are the least (")
