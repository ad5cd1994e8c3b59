import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.report.rows import ANGLE, Row, collect, data_notes, spread
from clbench.store.folder import FAILED, RUNNING, find_runs

Make = Callable[..., None]

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


@given(VALUES)
def test_spread_is_numpys(values: list[float]) -> None:
    found = spread(values)
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-12)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    if len(values) < 3:
        assert found["ci95"] is None
        return
    low, high = found["ci95"]
    assert (low + high) / 2 == pytest.approx(found["mean"], abs=1e-12)


def test_one_seed_has_no_spread() -> None:
    assert spread([0.5]) == {"mean": 0.5, "sd": None, "ci95": None, "n": 1}


def test_nothing_is_averaged_over_a_missing_value() -> None:
    assert spread([0.5, math.nan, 0.7]) == {"mean": None, "sd": None, "ci95": None, "n": 3}
    assert spread([]) == {"mean": None, "sd": None, "ci95": None, "n": 0}


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_a_configuration_is_a_row_with_its_seeds_in_order(store: Path, make: Make) -> None:
    for seed in (10, 2):
        make("er", seed)
    make("er", 0, changed={"lr": 0.5, "head": "dlfl"})
    make("er", 0, manifest="b" * 64)
    assert [[run.seed for run in row.runs] for row in rows(store)] == [[2, 10], [0], [0]]
    assert [row.label for row in rows(store)] == ["er", "er (lr=0.5, head=dlfl)", "er"]


def test_a_bound_is_what_the_runs_say_was_joint_training(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)
    make("joint", 1, FAILED)
    make("lwf", 0, RUNNING)
    er, joint, lwf = rows(store)
    assert (er.is_bound, joint.is_bound, lwf.is_bound) == (False, True, False)
    joint.first.config["joint"] = False
    assert Row(joint.runs).is_bound  # a run that is older has it in its metrics alone
    joint.done[0].metrics["joint"] = False  # one evaluation alone is no sign of it: so has a scenario of one task
    assert not Row(joint.runs).is_bound


def test_a_bound_that_never_got_done_is_one(store: Path, make: Make) -> None:
    make("joint", 0, FAILED, joint=True)
    make("mine", 0, RUNNING, joint=True)
    assert [row.is_bound for row in rows(store)] == [True, True]


def test_head_and_memory_are_what_the_run_had(store: Path, make: Make) -> None:
    make("dlfl", 0, head="dlfl", memory="prs")
    make("er", 0, changed={"memory": "none", "lr": 0.5})
    dlfl, er = rows(store)
    assert (dlfl.head, dlfl.memory, er.head, er.memory) == ("dlfl", "prs", "linear", None)
    assert (er.label, er.name, er.spoken(["linear"])) == (
        "er (memory=none, lr=0.5)",
        "er (lr=0.5)",
        "er/linear (lr=0.5)",
    )
    document = er.as_json()
    assert (document["head"], document["memory"], document["bound"]) == ("linear", None, False)


def test_only_seeds_that_are_done_have_values(store: Path, make: Make) -> None:
    make("er", 0, offset=0.25)
    make("er", 1, FAILED)
    make("er", 3)
    [row] = rows(store)
    first, last = row.done
    assert row.by_seed("mAP") == {0: first.metrics["final"]["mAP"], 3: last.metrics["final"]["mAP"]}
    assert row.values("mAP", "minority") == [run.metrics["groups"]["minority"]["mAP"] for run in (first, last)]
    assert row.values(ANGLE) == [75.25, 75.25]  # after the last task
    assert np.isnan(row.values("mAP", "nobody")).all() and np.isnan(row.values("mAp")).all()
    assert row.status == "2 done, 1 failed" and row.metric("mAP")["n"] == 2


def test_costs_are_summed_over_tasks(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1)
    [row] = rows(store)
    row.done[1].metrics["cost"]["train_seconds"] = [3.0, 4.0]
    assert row.cost("train_seconds")["mean"] == 5.5  # of 1.5 + 2.5 and 3 + 4
    assert row.cost("memory_bytes")["mean"] == 2_000_000


def test_a_cell_of_the_mean_matrix_needs_every_seed(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1)
    [row] = rows(store)
    row.done[0].metrics["matrix"]["mAP"] = [[0.5, None], [0.25, 1.0]]
    row.done[1].metrics["matrix"]["mAP"] = [[0.75, None], [None, 0.5]]
    np.testing.assert_array_equal(row.matrix("mAP"), [[0.625, np.nan], [np.nan, 0.75]])


def test_a_row_without_a_number_has_no_names_of_any(store: Path, make: Make) -> None:
    make("er", 0, FAILED, reason="it broke")
    [row] = rows(store)
    assert not row.metric_names and not row.group_names and not row.values("mAP")
    document = row.as_json()
    assert document["metrics"] == document["groups"] == document["cost"] == {}
    assert document["reasons"] == {"0": "it broke"} and document["seeds"] == []


def test_what_makes_a_row_hard_to_compare(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, view="limited:3", manifest="b" * 64, freeze="backbone", leak="it saw them")
    make("lwf", 0, freeze="none")
    plain, odd, trained = rows(store)
    assert (plain.view, plain.frozen, plain.leak) == ("all", False, None)
    assert (odd.view, odd.frozen, odd.leak) == ("limited:3", True, "it saw them")
    assert not trained.frozen


RECIPE = {"trials": 20, "seconds": 30.0, "view": "validation:0.1"}


def test_what_was_spent_on_a_rows_options(store: Path, make: Make) -> None:
    make("er", 0, recipe=RECIPE)
    make("er", 1, recipe=RECIPE)
    make("ewc", 0, recipe=RECIPE)
    make("ewc", 1)
    make("lwf", 0)
    er, ewc, lwf = collect(find_runs(store))
    assert [row.tuning for row in (er, lwf)] == ["20 trials on validation:0.1", None]
    assert ewc.tuning == "20 trials on validation:0.1 (seed 0), no search (seed 1)"
    assert er.cost("trials")["mean"] == 20 and er.cost("tuning_seconds")["mean"] == 30
    assert [row.cost("trials")["mean"] for row in (ewc, lwf)] == [None, None]
    assert er.as_json()["tuning"] == "20 trials on validation:0.1"


def test_what_a_recipe_chose_is_no_part_of_a_name(store: Path, make: Make) -> None:
    changed = {"memory": "prs", "lr": 0.5, "epochs": 2}
    make("er", 0, memory="prs", changed=changed, recipe=RECIPE | {"options": ["train.lr"]})
    [er] = collect(find_runs(store))
    assert er.label == "er (memory=prs, epochs=2, tuned)" and er.name == "er (epochs=2)"
    assert er.changed == changed


def test_runs_with_class_orders_of_their_own_are_one_row_with_the_data_they_share(store: Path, make: Make) -> None:
    for seed in range(2):
        make("er", seed, drawn="d" * 64)
    make("lwf", 1)
    drawn, plain = collect(find_runs(store))
    assert len(drawn.done) == 2 and (drawn.drawn, plain.drawn) == (True, False)
    assert (drawn.data, plain.data) == ("d" * 64, "a" * 64)
    assert data_notes([plain]) == ["3 images left out"]
    assert data_notes([drawn]) == ["3 images left out", "seed 0: no test image shows e"]
    assert drawn.as_json()["notes"] == data_notes([drawn]) and drawn.metric("mAP")["n"] == 2
