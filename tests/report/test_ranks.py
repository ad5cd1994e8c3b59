from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench.report.ranks import Ranks, contenders, mean_ranks
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_ranks_rest_on_the_complete_block_alone(store: Path, make: Make) -> None:
    for seed in range(4):
        make("er", seed, offset=0.2)
        make("ewc", seed, offset=0.1)
    for seed in (1, 3):
        make("lwf", seed)
    make("joint", 0, joint=True)
    make("dlfl", 0, leak="it saw them")
    make("finetune", 0, FAILED, reason="it broke")
    [table] = build_tables(rows(store), ["rank"])
    assert {row[0]: row[4] for row in table.cells} == {
        "dlfl": "–",
        "finetune": "–",
        "joint": "–",
        "er": "1.0",
        "ewc": "2.0",
        "lwf": "3.0",
    }
    assert table.notes[-1] == "rank: of mAP, 1 is best; mean over the complete block of 3 rows x 2 seeds (1, 3)."


@pytest.mark.slow
def test_ranks_are_scipys(store: Path, make: Make) -> None:
    from scipy.stats import rankdata

    rng = np.random.default_rng(0)
    names = ["dlfl", "er", "ewc", "lwf"]
    for name in names:
        for seed in range(5):
            make(name, seed, offset=float(rng.choice([0.0, 0.1, 0.2])))  # ties: the same seed has the same base
    found = mean_ranks(rows(store)).means
    block = np.array([row.values("mAP") for row in rows(store)])
    assert found == pytest.approx(rankdata(-block, axis=0).mean(axis=1))


def test_no_common_seed_means_no_rank(store: Path, make: Make) -> None:
    make("er", 0)
    make("lwf", 1)
    [table] = build_tables(rows(store), ["rank", "rank:minority"])
    assert [row[4:] for row in table.cells] == [("–", "–"), ("–", "–")]
    assert table.notes[-1] == "rank: none; no seed is done by every continual strategy here."


def test_ranks_by_hand(store: Path, make: Make) -> None:
    values = {"dlfl": [0.5, 0.2, 0.9], "er": [0.5, 0.1, 0.8], "lwf": [0.4, 0.3, 0.9]}
    for seed in range(3):
        for name in values:
            make(name, seed)
    found = rows(store)
    for row in found:
        for run in row.done:
            run.metrics["final"]["mAP"] = values[run.strategy][run.seed]
            run.metrics["groups"]["minority"]["mAP"] = 1 - values[run.strategy][run.seed]
    # seed 0: the first two share places 1 and 2; seed 1: 2, 3, 1; seed 2: the first and the last share 1 and 2
    assert mean_ranks(found).means == pytest.approx([5 / 3, 7.5 / 3, 5.5 / 3])
    assert mean_ranks(found).of == "mAP" and mean_ranks(found).seeds == (0, 1, 2)
    assert mean_ranks(found, "minority").means == pytest.approx([4 - 5 / 3, 4 - 7.5 / 3, 4 - 5.5 / 3])
    assert mean_ranks(found, "minority").of == "mAP:minority"


def test_a_seed_on_which_somebody_has_no_value_counts_for_nobody(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
        make("lwf", seed, offset=0.1)
    found = rows(store)
    found[0].done[1].metrics["final"]["mAP"] = None
    assert mean_ranks(found) == Ranks("mAP", (2.0, 1.0), (0, 2))
    assert mean_ranks(found).note == "rank: of mAP, 1 is best; mean over the complete block of 2 rows x 2 seeds (0, 2)."


def test_who_competes(store: Path, make: Make) -> None:
    make("dlfl", 0, FAILED)
    make("er", 0)
    make("er", 1, FAILED)
    make("ewc", 0, leak="it saw them")
    make("finetune", 0, freeze="backbone")
    make("joint", 0, joint=True)
    found = rows(store)
    assert [row.label for row in contenders(found)] == ["er", "finetune"]
    assert mean_ranks(found).means == (None, 1.5, None, 1.5, None)  # equal: the same seed has the same base
    assert mean_ranks(found[:1]) == mean_ranks(found[4:]) == Ranks("mAP", (None,), ())
    assert mean_ranks([]) == Ranks("mAP", (), ())
