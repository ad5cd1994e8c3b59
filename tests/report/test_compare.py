from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench.errors import UsageError
from clbench.report.compare import all_pairs, as_table, compare_rows, conclusion, find_row, find_rows
from clbench.report.paired import holm
from clbench.report.rows import Row, collect
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


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


@pytest.mark.slow
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


def test_fewer_than_three_common_seeds_have_neither_interval_nor_test_and_it_is_said(store: Path, make: Make) -> None:
    for seed in range(4):
        make("er", seed, offset=0.1 + 0.01 * seed)
        make("lwf", seed)
    for seed in range(2):
        make("ewc", seed)
    found = compare_rows(all_pairs(rows(store)), "mAP")  # er, ewc; er, lwf; ewc, lwf
    assert [pair.ci95 is None for pair in found] == [True, False, True]
    assert [pair.as_json()["p"] is None for pair in found] == [True, False, True]
    assert found[0].sd is not None and found[0].as_json()["p_holm"] is None
    table = as_table(found, "made")
    assert [line[3:] == ("–", "–", "–") for line in table.cells] == [True, False, True]
    assert "2 pair(s) have fewer than 3 seeds in common: neither an interval nor a test is shown." in table.notes[1]
    assert "fewer than 3" not in as_table([found[1]], "made").notes[1]


def test_rows_by_what_tables_call_them(store: Path, make: Make) -> None:
    for memory in ("prs", "reservoir"):
        make("dlfl", 0, memory=memory, changed={} if memory == "prs" else {"memory": memory})
    make("er", 0)
    found = rows(store)
    by_memory = {row.memory: row for row in found if row.first.strategy == "dlfl"}
    assert (
        find_row(found, "dlfl/prs") is by_memory["prs"] and find_row(found, "dlfl/reservoir") is by_memory["reservoir"]
    )
    assert find_row(found, f"er/{found[-1].head}").first.strategy == "er"  # more than the table needs
    with pytest.raises(UsageError, match="Unknown row 'dlfl/psr'; did you mean 'dlfl/prs'?"):
        find_row(found, "dlfl/psr")


def test_a_row_is_not_compared_with_itself(store: Path, make: Make) -> None:
    make("er", 0)
    make("lwf", 0, epochs=2)
    with pytest.raises(UsageError, match="Expected different rows to compare but 'er' and '0001a' are both er"):
        find_rows(rows(store), ["er", "lwf", "0001a"])
    assert [row.label for row in find_rows(rows(store), ["lwf", "er"])] == ["lwf", "er"]
