import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import UsageError
from clbench.report import formats
from clbench.report.compare import all_pairs, compare_rows
from clbench.report.html import html
from clbench.report.latex import latex
from clbench.report.published import published_tables
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables, by_data, matrix_tables, titles
from clbench.store.folder import DIVERGED, FAILED, INTERRUPTED, RUNNING, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def line(text: str, label: str) -> list[str]:
    return next(found.split() for found in text.splitlines() if found.startswith(label))


@pytest.mark.parametrize("state", [FAILED, DIVERGED, INTERRUPTED, RUNNING])
def test_a_run_that_is_not_done_stays_visible(store: Path, make: Make, state: str) -> None:
    make("er", 0)
    make("er", 1, state, reason="it broke")
    make("lwf", 0, state, reason="it broke too")
    text = formats.text(build_tables(rows(store)))
    assert line(text, "er")[:5] == ["er", "[a]", "linear", "–", "1/2"] and "±" not in line(text, "er")[5]
    assert line(text, "lwf")[:6] == ["lwf", "[b,c]", "linear", "–", "0/2", state]
    assert build_tables(rows(store))[0].cells[1] == ("lwf", "linear", "–", "0/2", *[state] * 4)
    assert f"[a] er: seed 1: {state}: it broke." in text and f"[b] lwf: seed 0: {state}: it broke too." in text
    assert "[c] lwf: fewer seeds: 1 not run." in text
    [er, lwf] = json.loads(formats.as_json(rows(store)))["rows"]
    assert er["status"] == f"1 done, 1 {state}" and er["metrics"]["mAP"]["n"] == 1 and er["seeds"] == [0]
    assert lwf["status"] == f"1 {state}" and lwf["metrics"] == {} and lwf["reasons"] == {"0": "it broke too"}


def test_other_data_and_limited_runs_never_share_a_table(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, manifest="b" * 64, view="limited:3")
    tables = build_tables(rows(store))
    assert len(tables) == 6 and all(len(table.cells) == 1 for table in tables)
    assert [("LIMITED" in table.title) for table in tables] == [False] * 3 + [True] * 3


def test_head_and_memory_are_columns_and_other_changed_options_stand_in_the_label(store: Path, make: Make) -> None:
    make("er", 0, memory="reservoir", offset=0.1)
    make("er", 0, head="dlfl", memory="prs", changed={"head": "dlfl", "memory": "prs", "lr": 0.5})
    make("joint", 0, joint=True)
    for table in build_tables(rows(store)):
        assert table.headings[:4] == ("strategy", "head", "memory", "n") and (table.names, table.bounds) == (3, 1)
        assert sorted(row[:3] for row in table.cells) == [
            ("er", "linear", "reservoir"),
            ("er (lr=0.5)", "dlfl", "prs"),
            ("joint", "linear", "–"),
        ]
    assert not any("memory:" in note or "head:" in note for note in table.notes)


def order(store: Path, *columns: str) -> list[str]:
    return [row[0] for row in build_tables(rows(store), columns)[0].cells]


def test_the_best_is_first_by_the_first_metric_and_bounds_are_last(store: Path, make: Make) -> None:
    for seed in range(2):
        make("dlfl", seed, offset=-0.1)
        make("er", seed, offset=0.1)
        make("ewc", seed)
        make("joint", seed, joint=True, offset=0.9)
        make("another_bound", seed, FAILED, joint=True)
    found = rows(store)
    for number, row in enumerate(found):
        for run in row.done:
            run.metrics["final"]["forgetting_mAP"] = None if row.is_bound else (0.3, -0.1, 0.1)[number - 1]
            run.metrics["cost"]["train_seconds"] = [float((3, 1, 2, 4)[number - 1])]

    def shown(*columns: str) -> list[str]:
        [table] = build_tables(found, columns)
        assert table.bounds == 2
        return [row[0] for row in table.cells]

    bounds = ["joint", "another_bound"]
    assert shown("mAP") == ["er", "ewc", "dlfl", *bounds]
    assert shown("forgetting_mAP", "mAP") == ["er", "ewc", "dlfl", *bounds[::-1]]  # joint has none either
    assert shown("train_seconds", "mAP@ci95") == ["er", "ewc", "dlfl", *bounds]  # seconds are no metric
    assert shown("train_seconds") == ["er", "ewc", "dlfl", *bounds]  # but order a table without one, the least first
    assert shown("rank") == ["er", "ewc", "dlfl", *bounds[::-1]]
    assert shown("mAP:minority")[3:] == bounds and shown("mAP:minority")[:3] == ["dlfl", "er", "ewc"]  # equal


def test_rows_that_lack_a_cell_come_after_those_that_have_all(store: Path, make: Make) -> None:
    for seed in range(3):
        make("dlfl", seed)
        make("er", 0, offset=0.3)  # too few seeds for an interval
        make("ewc", seed, FAILED)
        make("finetune", seed, offset=0.2, leak="it saw them")  # no rank
        make("lwf", seed, offset=-0.3)
    assert order(store, "mAP") == ["er", "finetune", "dlfl", "lwf", "ewc"]
    assert order(store, "mAP", "mAP@ci95") == ["finetune", "dlfl", "lwf", "er", "ewc"]
    assert order(store, "mAP", "rank") == ["er", "dlfl", "lwf", "finetune", "ewc"]


def test_each_table_has_its_own_order_and_conclusion_and_letters_are_the_same_in_all(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed, offset=0.5)
        make("lwf", seed, freeze="backbone")
    found = rows(store)
    for run in found[1].done:
        run.metrics["final"]["CF1"] += 0.2
    first, second, third = build_tables(found)
    assert [row[0] for row in first.cells] == ["er", "lwf"] and first.marks == ("", "a")
    assert [row[0] for row in second.cells] == ["lwf", "er"] and second.marks == ("a", "")
    assert first.lead == "By mAP er beats lwf (n = 6; paired test, 5 %)."
    assert second.lead == "By CF1 lwf beats er (n = 6; paired test, 5 %)."
    assert (
        third.lead == ""
        and not (first.notes or second.notes)
        and third.notes[-1] == "[a] lwf: frozen backbone: only the head was trained."
    )
    assert [table.lead for table in build_tables(found, ["train_seconds", "rank"])] == [""]  # nothing that is tested


@pytest.mark.parametrize("view", ["validation:0.1", "limited:8", "first:1+validation:0.1"])
def test_rows_of_different_views_never_share_a_table(store: Path, make: Make, view: str) -> None:
    """Though scenario, protocol and even the manifest are the same."""
    make("er", 0)
    make("lwf", 0)
    make("er", 0, view=view, epochs=2)
    make("ewc", 0, view=view, epochs=2)
    found = rows(store)
    tables = [*build_tables(found), *build_tables(found, ["mAP"])]
    assert [{"er", "lwf"} if view.upper() not in table.title else {"er", "ewc"} for table in tables] == [
        {row[0] for row in table.cells} for table in tables
    ]
    assert len(tables) == 8 and len(published_tables(found, [])) == 2
    for text in (formats.markdown(build_tables(found)), latex(found), html(found, drawn=[[], []])):
        whole, _, seen = text.partition(view.upper())
        assert "ewc" in seen and "ewc" not in whole
    with pytest.raises(UsageError, match="differ in view: all against"):
        compare_rows(all_pairs(found), "mAP")


GOLDEN = """\
made (2 tasks, 4 classes), %
By mAP n = 1 seed is too few to conclude anything: a pair takes at least 6.
strategy     head    memory    n        mAP      mAP 95 %  forgetting  rank
-----------  ------  ------  ---  ---------  ------------  ----------  ----
dlfl         linear  prs       3  57.0±10.0  [32.2, 81.8]    1.7±16.0   1.0
er [a,b]     linear  –       1/3       53.0             –        20.0   2.0
ewc [c,d]    linear  –         3  47.0±10.0  [22.2, 71.8]    1.7±16.0     –
lwf [e,f,g]  linear  –       0/3   not done      not done    not done     –
-----------  ------  ------  ---  ---------  ------------  ----------  ----
joint [h]    linear  –       1/3       46.7             –           –     –
mean±sd over n seeds
Protocol: images: exclusive.
Data: manifest aaaaaaaaaaaa; 3 images left out.
joint: upper bound, all tasks learned at once; it is not ranked.
Numbers are as the runs report them; --verify computes them again from the saved
  logits.
[a] er: seed 1: failed: OSError: no space left.
[b] er: seed 2: failed: OSError: no space left.
[c] ewc: frozen backbone: only the head was trained.
[d] ewc: leaked weights: fitted to all classes.
[e] lwf: seed 0: diverged: loss was nan at step 7.
[f] lwf: seed 1: interrupted: SIGTERM.
[g] lwf: seed 2: running.
[h] joint: fewer seeds: 1, 2 not run.
95 %: an interval takes 3 seeds, which er, joint have not.
rank: of mAP, 1 is best; mean over the complete block of 2 rows x 1 seeds (0).
"""


def test_the_golden_table_of_every_state(store: Path, make: Make) -> None:
    for seed in range(3):
        make("dlfl", seed, offset=0.1, memory="prs")
        make("er", seed, FAILED if seed else "done", reason="OSError: no space left")
        make("ewc", seed, freeze="backbone", leak="fitted to all classes")
    make("joint", 0, joint=True)
    make("lwf", 0, DIVERGED, reason="loss was nan at step 7")
    make("lwf", 1, INTERRUPTED, reason="SIGTERM")
    make("lwf", 2, RUNNING)
    assert formats.text(build_tables(rows(store), ["mAP", "mAP@ci95", "forgetting_mAP", "rank"])) + "\n" == GOLDEN


def test_each_kind_of_caution_has_its_letter(store: Path, make: Make) -> None:
    for seed in range(2):
        make("dlfl", seed, freeze="backbone")
        make("er", seed, leak="the weights were fitted to this scenario's classes.", freeze="backbone")
    make("ewc", 0)
    make("lwf", 0, INTERRUPTED, reason="SIGTERM")
    make("lwf", 1, DIVERGED, reason="loss was nan")
    [_, _, table] = build_tables(rows(store))
    assert [row[0] for row in table.cells] == ["ewc", "dlfl", "er", "lwf"]
    assert table.marks == ("a", "b", "b,c", "d,e")
    assert table.notes[-5:] == (
        "[a] ewc: fewer seeds: 1 not run.",
        "[b] dlfl, er: frozen backbone: only the head was trained.",
        "[c] er: leaked weights: the weights were fitted to this scenario's classes.",
        "[d] lwf: seed 0: interrupted: SIGTERM.",
        "[e] lwf: seed 1: diverged: loss was nan.",
    )
    assert [row[3] for row in table.cells] == ["1/2", "2", "2", "0/2"]
    assert line(formats.markdown([table]), "| er [b,c]")[:4] == ["|", "er", "[b,c]", "|"]
    [_, dlfl, er, _] = json.loads(formats.as_json(rows(store)))["rows"]
    assert dlfl["frozen"] and dlfl["leak"] is None and er["leak"].startswith("the weights")


def test_limited_runs_have_a_table_of_their_own_even_where_the_limit_cut_nothing(store: Path, make: Make) -> None:
    make("er", 0)
    make("lwf", 0, view="limited:999")
    plain, limited = build_tables(rows(store))[2::3]
    assert not any(plain.marks) and limited.marks == ("a",)
    assert "[a] lwf: only limited:999 of the scenario was seen: no result." in limited.notes


def test_the_matrix_has_every_cell_and_only_those(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)
    er, joint = matrix_tables(rows(store))
    first = next(find_runs(store))
    expected = first.metrics["matrix"]["mAP"]
    assert er.cells[0] == ("after task 1", f"{100 * expected[0][0]:.1f}", "–")
    assert er.cells[1] == ("after task 2", *(f"{100 * value:.1f}" for value in expected[1]))
    assert [cells[0] for cells in joint.cells] == ["all tasks"]


def test_the_same_folders_give_the_same_bytes(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    texts, documents = zip(
        *((formats.text(build_tables(rows(store))), formats.as_json(rows(store))) for _ in range(2)), strict=True
    )
    assert texts[0] == texts[1] and documents[0] == documents[1]


def test_rows_on_class_orders_of_the_seeds_share_a_table_that_says_so_once(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed, drawn="d" * 64)
    for seed in (2, 1):  # another first seed: other data of the same source
        make("lwf", seed, drawn="d" * 64)
    make("er", 0, epochs=2)
    make("er", 0, drawn="e" * 64, epochs=3)
    tables = build_tables(rows(store), ["mAP"])
    assert sorted([row[0] for row in table.cells] for table in tables) == [["er"], ["er"], ["er", "lwf"]]
    [shared] = [table for table in tables if len(table.cells) == 2]
    said = [note for note in shared.notes if "averages over as many orders as it has seeds" in note]
    assert len(said) == 1 and f"Data: drawn from {'d' * 12}; 3 images left out; seed 0: no test image shows e." in (
        shared.notes
    )
    assert not any("orders" in note for table in tables for note in table.notes if "manifest" in str(table.notes))


def test_the_matrix_says_that_its_tasks_differ_between_seeds(store: Path, make: Make) -> None:
    make("er", 0, drawn="d" * 64)
    make("lwf", 0)
    drawn, plain = matrix_tables(rows(store))
    assert "task t is the t-th of each" in drawn.notes[0] and not plain.notes


def test_tables_of_one_scenario_say_in_what_they_differ(store: Path, make: Make) -> None:
    """The class order, the data, or neither where there is but one."""
    make("er", 0, protocol={"threshold": "0.5", "class order": "fixed"})
    make("er", 0, protocol={"threshold": "0.5", "class order": "drawn"}, drawn="d" * 64, epochs=2)
    make("er", 0, protocol={"threshold": "0.5", "class order": "fixed"}, manifest="b" * 64)
    make("er", 0, scenario="other")
    found = by_data(rows(store))
    assert sorted(titles(found)) == [
        "made (2 tasks, 4 classes), class order: drawn",
        f"made (2 tasks, 4 classes), class order: fixed, data {'a' * 12}",
        f"made (2 tasks, 4 classes), class order: fixed, data {'b' * 12}",
        "other (2 tasks, 4 classes)",
    ]
    built = [table.title for table in build_tables(rows(store))]
    assert len(set(built)) == len(built) and {title.rpartition(": ")[0] for title in built} >= set(titles(found)[:1])
    listed = re.findall(r'<a href="#s\d">(.*?)</a>', html(rows(store), drawn=[[]] * 4))
    assert listed == titles(found)
