import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clbench.errors import UsageError
from clbench.report import formats
from clbench.report.cells import compact
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables
from clbench.store.folder import find_runs

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
    assert cells[:5] == ["er", "linear", "–", "3", f"{100 * np.mean(values):.1f}±{100 * np.std(values, ddof=1):.1f}"]


def test_the_interval_is_a_column_style_and_stands_in_csv(store: Path, make: Make) -> None:
    for seed in range(3):
        make("er", seed)
    make("lwf", 0)
    [table] = build_tables(rows(store), ["mAP@ci95", "train_seconds@ci95"])
    assert "95 %: an interval takes 3 seeds, which lwf has not." in table.notes
    low, high = rows(store)[0].metric("mAP")["ci95"]
    assert table.headings[4:] == ("mAP 95 %", "train s 95 %")
    assert [row[4] for row in table.cells] == [f"[{100 * low:.1f}, {100 * high:.1f}]", "–"]
    lwf, er = csv.DictReader(io.StringIO(formats.as_csv(rows(store))))
    assert (float(er["mAP_ci95_low"]), float(er["mAP_ci95_high"])) == (low, high) and lwf["mAP_ci95_low"] == ""
    with pytest.raises(UsageError, match="Unknown column 'rank@ci95'"):
        build_tables(rows(store), ["rank@ci95"])


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (7, "7"), (999.4, "999"), (999.5, "1.00k"), (1000, "1.00k"), (9994, "9.99k"), (9996, "10.0k")]
    + [(123_456, "123k"), (999_499, "999k"), (999_500, "1.00M"), (11_176_512, "11.2M"), (3e9, "3.00G")],
)
def test_counts_have_three_digits(number: float, text: str) -> None:
    assert compact(number) == text
