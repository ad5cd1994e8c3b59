import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from clbench.report import formats
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def line(text: str, label: str) -> list[str]:
    return next(found.split() for found in text.splitlines() if found.startswith(label))


def test_footnotes_say_protocol_data_and_what_differs(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, epochs=5, joint=True)
    text = formats.text(build_tables(rows(store)))
    assert "Protocol: images: exclusive." in text
    assert "Data: manifest aaaaaaaaaaaa; 3 images left out." in text
    assert "epochs: 5 (joint), 1 (others)." in text or "epochs: 1 (er), 5 (others)." in text
    assert line(text, "joint")[-1] == "–"


def test_runs_of_older_versions_have_empty_cells_and_not_zero(store: Path, make: Make) -> None:
    make("er", 0, counts=None)
    make("er", 1)
    make("lwf", 0, counts=None)
    make("joint", 0, joint=True)
    found = rows(store)
    table = build_tables(found)[-1]
    assert [row[4:7] for row in table.cells] == [("–",) * 3, ("–",) * 3, ("6", "33", "15")]
    assert "steps, grad. img, replayed: – where it was not counted (lwf, er)." in table.notes
    [one] = build_tables(found, ["mAP", "gradient_images"])
    assert "grad. img: – where it was not counted (lwf, er)." in one.notes
    [none] = build_tables(found, ["mAP"])
    assert not any("not counted" in note for note in none.notes)
    lines = csv.DictReader(io.StringIO(formats.as_csv(found)))
    assert {line["strategy"]: line["steps"] for line in lines} == {"er": "", "joint": "6.0", "lwf": ""}
    [lwf] = [row["cost"] for row in json.loads(formats.as_json(found))["rows"] if row["strategy"] == "lwf"]
    assert lwf["steps"] == {"mean": None, "sd": None, "ci95": None, "n": 1} and lwf["train_seconds"]["mean"] == 4.0
