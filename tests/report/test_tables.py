import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench import load_runs
from clbench.errors import UsageError
from clbench.records import DIVERGED, FAILED, INTERRUPTED, RUNNING, find_runs
from clbench.report import formats
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables, matrix_tables

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
    assert line(text, "er")[1] == "1/2" and "±" not in line(text, "er")[2]
    assert line(text, "lwf") == ["lwf", "0/1", *[state] * 5]
    assert f"er, seed 1: {state}: it broke" in text and f"lwf, seed 0: {state}: it broke too" in text
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
    make("er", 0, manifest="b" * 64, limit=3)
    tables = build_tables(rows(store))
    assert len(tables) == 4 and all(len(table.cells) == 1 for table in tables)
    assert [("LIMITED" in table.title) for table in tables] == [False, False, True, True]


def test_changed_options_stand_in_the_label(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, changed={"head": "dlfl"})
    assert [row.label for row in rows(store)] == ["er", "er (head=dlfl)"]


def test_columns_by_name(store: Path, make: Make) -> None:
    make("er", 0)
    [table] = build_tables(rows(store), ["mAP:minority", "positive_angle", "train_seconds", "memory_bytes"])
    assert table.headings == ("strategy", "n", "minority", "angle °", "train s", "memory MB")
    assert table.cells[0][3:] == ("75.2", "4", "2.0")
    with pytest.raises(UsageError, match="Unknown column 'mAp'; did you mean 'mAP'?"):
        build_tables(rows(store), ["mAp"])


def test_the_matrix_has_every_cell_and_only_those(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)
    er, joint = matrix_tables(rows(store))
    first = next(find_runs(store))
    expected = first.metrics["matrix"]["mAP"]
    assert er.cells[0] == ("after task 0", f"{100 * expected[0][0]:.1f}", "–")
    assert er.cells[1] == ("after task 1", *(f"{100 * value:.1f}" for value in expected[1]))
    assert [cells[0] for cells in joint.cells] == ["all tasks"]


def test_long_labels_are_wrapped_to_the_width_of_a_terminal(store: Path, make: Make) -> None:
    changed = {"head": "dlfl", "backbone": "resnet18", "memory": "reservoir", "lr": 0.001}
    for seed in range(2):
        make("er", seed, changed=changed)
    text = formats.text(build_tables(rows(store)))
    assert max(map(len, text.splitlines())) <= formats.WIDTH


def test_csv_and_json_hold_the_fractions_of_the_files(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1)
    values = [run.metrics["final"]["mAP"] for run in find_runs(store)]
    [read] = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert float(read["mAP"]) == pytest.approx(np.mean(values)) and read["n"] == "2"
    document = json.loads(formats.as_json(rows(store)))
    assert document["schema"] == 1
    [row] = document["rows"]
    assert row["metrics"]["mAP"]["mean"] == pytest.approx(np.mean(values))
    assert set(row["groups"]) == {"majority", "minority"} and row["cost"]["train_seconds"]["mean"] == 4.0
    for name in ("mAP", "CF1", "OF1", "CF1_mean", "average_mAP"):
        assert set(row["metrics"][name]) == {"mean", "sd", "ci95", "n"}
    for name in ("mAP", "CF1", "OF1"):
        assert {f"forgetting_{name}", f"forgetting_{name}_relative"} <= set(row["metrics"])


def test_the_same_folders_give_the_same_bytes(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    texts, documents = zip(
        *((formats.text(build_tables(rows(store))), formats.as_json(rows(store))) for _ in range(2)), strict=True
    )
    assert texts[0] == texts[1] and documents[0] == documents[1]


def test_markdown_is_a_table_with_its_notes(store: Path, make: Make) -> None:
    make("er", 0)
    text = formats.markdown(build_tables(rows(store)))
    assert text.startswith("**made (2 tasks, 4 classes): mAP after the last task, %**\n\n| strategy")
    assert "\n- Protocol: images: exclusive." in text


def test_runs_as_a_data_frame(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1, FAILED, reason="it broke")
    frame = load_runs(store)
    assert frame[["strategy", "seed", "state"]].values.tolist() == [["er", 0, "done"], ["er", 1, "failed"]]
    assert frame["mAP"].notna().tolist() == [True, False]
    assert "mAP:minority" in frame
