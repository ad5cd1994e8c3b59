import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench.errors import UsageError
from clbench.report import formats
from clbench.report.rows import COUNTS, Row, collect
from clbench.report.tables import build_tables, compact, matrix_tables
from clbench.store.folder import DIVERGED, FAILED, INTERRUPTED, RUNNING, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def line(text: str, label: str) -> list[str]:
    return next(found.split() for found in text.splitlines() if found.startswith(label))


def test_a_mean_carries_its_spread_and_its_count(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    values = [json.loads((run.folder / "metrics.json").read_text())["final"]["mAP"] for run in find_runs(store)]
    cells = line(formats.text(build_tables(rows(store))), "er")
    assert cells[:3] == ["er", "3", f"{100 * np.mean(values):.1f}±{100 * np.std(values, ddof=1):.1f}"]


@pytest.mark.parametrize("state", [FAILED, DIVERGED, INTERRUPTED, RUNNING])
def test_a_run_that_is_not_done_stays_visible(store: Path, make: Make, state: str) -> None:
    make("er", 0)
    make("er", 1, state, reason="it broke")
    make("lwf", 0, state, reason="it broke too")
    text = formats.text(build_tables(rows(store)))
    assert line(text, "er")[:3] == ["er", "[a]", "1/2"] and "±" not in line(text, "er")[3]
    assert line(text, "lwf") == ["lwf", "[b,c]", "0/2", *[state] * 4]
    assert f"[a] er: seed 1: {state}: it broke." in text and f"[b] lwf: seed 0: {state}: it broke too." in text
    assert "[c] lwf: fewer seeds: 1 not run." in text
    [er, lwf] = json.loads(formats.as_json(rows(store)))["rows"]
    assert er["status"] == f"1 done, 1 {state}" and er["metrics"]["mAP"]["n"] == 1 and er["seeds"] == [0]
    assert lwf["status"] == f"1 {state}" and lwf["metrics"] == {} and lwf["reasons"] == {"0": "it broke too"}


def test_footnotes_say_protocol_data_and_what_differs(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, epochs=5, joint=True)
    text = formats.text(build_tables(rows(store)))
    assert "Protocol: images: exclusive." in text
    assert "Data: manifest aaaaaaaaaaaa; 3 images left out." in text
    assert "epochs: 5 (joint), 1 (others)." in text or "epochs: 1 (er), 5 (others)." in text
    assert line(text, "joint")[-1] == "–"


def test_other_data_and_limited_runs_never_share_a_table(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, manifest="b" * 64, view="limited:3")
    tables = build_tables(rows(store))
    assert len(tables) == 6 and all(len(table.cells) == 1 for table in tables)
    assert [("LIMITED" in table.title) for table in tables] == [False] * 3 + [True] * 3


def test_a_scenario_without_frequency_groups_has_no_columns_of_them(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, manifest="b" * 64, grouped=False)
    make("lwf", 0, FAILED, manifest="b" * 64, grouped=False)
    headings = [table.headings[2:] for table in build_tables(rows(store))[::3]]
    assert headings == [("mAP", "majority", "minority", "avg mAP"), ("mAP", "avg mAP")]


def test_changed_options_stand_in_the_label(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, changed={"head": "dlfl"})
    assert [row.label for row in rows(store)] == ["er", "er (head=dlfl)"]


GOLDEN = """\
made (2 tasks, 4 classes), %
strategy       n        mAP      mAP 95 %  forgetting  rank
-----------  ---  ---------  ------------  ----------  ----
dlfl           3  57.0±10.0  [32.2, 81.8]    1.7±16.0   1.0
er [a,b]     1/3       53.0             –        20.0   2.0
ewc [c,d]      3  47.0±10.0  [22.2, 71.8]    1.7±16.0     –
joint [e]    1/3       46.7             –           –     –
lwf [f,g,h]  0/3   not done      not done    not done     –
mean±sd over n seeds
Protocol: images: exclusive.
Data: manifest aaaaaaaaaaaa; 3 images left out.
[a] er: seed 1: failed: OSError: no space left.
[b] er: seed 2: failed: OSError: no space left.
[c] ewc: frozen backbone: only the head was trained.
[d] ewc: leaked weights: fitted to all classes.
[e] joint: fewer seeds: 1, 2 not run.
[f] lwf: seed 0: diverged: loss was nan at step 7.
[g] lwf: seed 1: interrupted: SIGTERM.
[h] lwf: seed 2: running.
rank: of mAP, 1 is best; mean over the complete block of 2 rows x 1 seeds (0).
"""


def test_the_golden_table_of_every_state(store: Path, make: Make) -> None:
    for seed in range(3):
        make("dlfl", seed, offset=0.1)
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
    assert table.marks == ("a", "a,b", "c", "d,e")
    assert table.notes[-5:] == (
        "[a] dlfl, er: frozen backbone: only the head was trained.",
        "[b] er: leaked weights: the weights were fitted to this scenario's classes.",
        "[c] ewc: fewer seeds: 1 not run.",
        "[d] lwf: seed 0: interrupted: SIGTERM.",
        "[e] lwf: seed 1: diverged: loss was nan.",
    )
    assert [row[1] for row in table.cells] == ["2", "2", "1/2", "0/2"]
    assert line(formats.markdown([table]), "| er [a,b]")[:5] == ["|", "er", "[a,b]", "|", "2"]
    [dlfl, er, _, _] = json.loads(formats.as_json(rows(store)))["rows"]
    assert dlfl["frozen"] and dlfl["leak"] is None and er["leak"].startswith("the weights")


def test_limited_runs_have_a_table_of_their_own_even_where_the_limit_cut_nothing(store: Path, make: Make) -> None:
    make("er", 0)
    make("lwf", 0, view="limited:999")
    plain, limited = build_tables(rows(store))[2::3]
    assert not any(plain.marks) and limited.marks == ("a",)
    assert "[a] lwf: only limited:999 of the scenario was seen: no result." in limited.notes


def test_the_interval_is_a_column_style_and_stands_in_csv(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    make("lwf", 0)
    [table] = build_tables(rows(store), ["mAP@ci95", "train_seconds@ci95"])
    low, high = rows(store)[0].metric("mAP")["ci95"]
    assert table.headings[2:] == ("mAP 95 %", "train s 95 %")
    assert [row[2] for row in table.cells] == [f"[{100 * low:.1f}, {100 * high:.1f}]", "–"]
    er, lwf = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert (float(er["mAP_ci95_low"]), float(er["mAP_ci95_high"])) == (low, high) and lwf["mAP_ci95_low"] == ""
    with pytest.raises(UsageError, match="Unknown column 'rank@ci95'"):
        build_tables(rows(store), ["rank@ci95"])


def test_columns_by_name(store: Path, make: Make) -> None:
    make("er", 0)
    [table] = build_tables(rows(store), ["mAP:minority", "positive_angle", "train_seconds", "memory_bytes"])
    assert table.headings == ("strategy", "n", "minority", "angle °", "train s", "memory MB")
    assert table.cells[0][3:] == ("75.2", "4", "2.0")
    with pytest.raises(UsageError, match="Unknown column 'mAp'; did you mean 'mAP'?"):
        build_tables(rows(store), ["mAp"])


def test_what_it_took_stands_below_the_metrics(store: Path, make: Make) -> None:
    make("er", 0, counts=(1000, 20_000, 9994))
    make("er", 1, counts=(1000, 21_000, 9996))
    make("joint", 0, joint=True, counts=(2200, 33_000_000, 0))
    table = build_tables(rows(store))[-1]
    assert table.title == "made (2 tasks, 4 classes): what it took"
    assert table.headings[2:] == ("steps", "grad. img", "replayed", "train s", "memory MB")
    assert table.cells == (
        ("er", "2", "1.00k", "20.5k±707", "10.0k±1", "4±0", "2.0±0.0"),
        ("joint", "1/2", "2.20k", "33.0M", "0", "4", "2.0"),
    )
    assert not any("older version" in note for note in table.notes)
    assert max(map(len, formats.text([table]).splitlines())) <= 80
    er, joint = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert [float(er[name]) for name in COUNTS] == [1000, 20_500, 9995] and float(joint["gradient_images"]) == 33e6
    [table] = build_tables(rows(store), ["parameters", "gradient_images@ci95"])
    assert table.cells[1][2:] == ("7", "–") and table.headings[3] == "grad. img 95 %"
    cost = json.loads(formats.as_json(rows(store)))["rows"][0]["cost"]
    assert cost["gradient_images"]["mean"] == 20_500 and cost["parameters"]["mean"] == 7


def test_runs_of_older_versions_have_empty_cells_and_not_zero(store: Path, make: Make) -> None:
    make("er", 0, counts=None)
    make("er", 1)
    make("lwf", 0, counts=None)
    make("joint", 0, joint=True)
    found = rows(store)
    table = build_tables(found)[-1]
    assert [row[2:5] for row in table.cells] == [("–",) * 3, ("6", "33", "15"), ("–",) * 3]
    assert "steps, grad. img, replayed: – where an older version ran it (er, lwf)." in table.notes
    [one] = build_tables(found, ["mAP", "gradient_images"])
    assert "grad. img: – where an older version ran it (er, lwf)." in one.notes
    [none] = build_tables(found, ["mAP"])
    assert not any("older version" in note for note in none.notes)
    lines = csv.DictReader(io.StringIO(formats.as_csv(found)))
    assert [line["steps"] for line in lines] == ["", "6.0", ""]
    lwf = json.loads(formats.as_json(found))["rows"][2]["cost"]
    assert lwf["steps"] == {"mean": None, "sd": None, "ci95": None, "n": 1} and lwf["train_seconds"]["mean"] == 4.0


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (7, "7"), (999.4, "999"), (999.5, "1.00k"), (1000, "1.00k"), (9994, "9.99k"), (9996, "10.0k")]
    + [(123_456, "123k"), (999_499, "999k"), (999_500, "1.00M"), (11_176_512, "11.2M"), (3e9, "3.00G")],
)
def test_counts_have_three_digits(number: float, text: str) -> None:
    assert compact(number) == text


def test_the_matrix_has_every_cell_and_only_those(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)
    er, joint = matrix_tables(rows(store))
    first = next(find_runs(store))
    expected = first.metrics["matrix"]["mAP"]
    assert er.cells[0] == ("after task 0", f"{100 * expected[0][0]:.1f}", "–")
    assert er.cells[1] == ("after task 1", *(f"{100 * value:.1f}" for value in expected[1]))
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
