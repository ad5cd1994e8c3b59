import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import UsageError
from clbench.report import formats
from clbench.report.rows import COUNTS, Row, collect
from clbench.report.tables import build_tables
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def test_a_scenario_without_frequency_groups_has_no_columns_of_them(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 0, manifest="b" * 64, grouped=False)
    make("lwf", 0, FAILED, manifest="b" * 64, grouped=False)
    headings = [table.headings[4:] for table in build_tables(rows(store))[::3]]
    assert headings == [("mAP", "majority", "minority", "avg mAP"), ("mAP", "avg mAP")]


def test_columns_by_name(store: Path, make: Make) -> None:
    make("er", 0)
    [table] = build_tables(rows(store), ["mAP:minority", "positive_angle", "train_seconds", "memory_bytes"])
    assert table.headings == ("strategy", "head", "memory", "n", "minority", "angle °", "train s", "memory MB")
    assert table.cells[0][5:] == ("75.2", "4", "2.0")
    with pytest.raises(UsageError, match="Unknown column 'mAp'; did you mean 'mAP'?"):
        build_tables(rows(store), ["mAp"])


def test_what_it_took_stands_below_the_metrics(store: Path, make: Make) -> None:
    make("er", 0, counts=(1000, 20_000, 9994))
    make("er", 1, counts=(1000, 21_000, 9996))
    make("joint", 0, joint=True, counts=(2200, 33_000_000, 0))
    table = build_tables(rows(store))[-1]
    assert table.title == "made (2 tasks, 4 classes): what it took"
    assert table.headings[4:] == ("steps", "grad. img", "replayed", "train s", "memory MB")
    assert table.cells == (
        ("er", "linear", "–", "2", "1.00k", "20.5k±707", "10.0k±1", "4±0", "2.0±0.0"),
        ("joint", "linear", "–", "1/2", "2.20k", "33.0M", "0", "4", "2.0"),
    )
    assert not any("older version" in note for note in table.notes)
    assert max(map(len, formats.text([table]).splitlines())) <= 80
    er, joint = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert [float(er[name]) for name in COUNTS] == [1000, 20_500, 9995] and float(joint["gradient_images"]) == 33e6
    [table] = build_tables(rows(store), ["parameters", "gradient_images@ci95"])
    assert table.cells[1][4:] == ("7", "–") and table.headings[5] == "grad. img 95 %"
    cost = json.loads(formats.as_json(rows(store)))["rows"][0]["cost"]
    assert cost["gradient_images"]["mean"] == 20_500 and cost["parameters"]["mean"] == 7
