from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.report.card import card
from clbench.report.html import html
from clbench.report.rows import collect
from clbench.report.tables import build_tables
from clbench.report.told import told
from clbench.store.folder import find_runs

Make = Callable[..., None]
SECRET = "/home/somebody/secret/w.safetensors"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (SECRET, "w.safetensors"),
        (f"--set=weights={SECRET}", "--set=weights=w.safetensors"),
        (["run", SECRET, f"a={SECRET}", 3], ["run", "w.safetensors", "a=w.safetensors", 3]),
        ({"weights": SECRET, "lr": 0.5}, {"weights": "w.safetensors", "lr": 0.5}),
        ("results/runs", "results/runs"),
        ("20/class", "20/class"),
        ("er (head=dlfl) a/b", "er (head=dlfl) a/b"),
        (None, None),
    ],
)
def test_of_a_path_on_a_machine_the_last_part_is_told(value: Any, said: Any) -> None:
    assert told(value) == said


def test_no_report_and_no_card_names_the_folders_of_weights(store: Path, make: Make) -> None:
    make("er", 0, model={"weights": SECRET})
    make("lwf", 0, model={"weights": "none"})
    rows = collect(find_runs(store))
    notes = str([table.notes for table in build_tables(rows)])
    assert "weights: w.safetensors (er)" in notes or "w.safetensors (others)" in notes
    page, shown = html(rows, drawn=[[]]), card(rows[0].first)
    for text in (notes, page, shown):
        assert "somebody" not in text and "w.safetensors" in text
