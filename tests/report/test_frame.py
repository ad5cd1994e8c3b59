from collections.abc import Callable
from pathlib import Path

import pytest

from clbench import load_runs
from clbench.errors import StoreError
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]


def test_runs_as_a_data_frame(store: Path, make: Make) -> None:
    make("er", 0)
    make("er", 1, FAILED, reason="it broke")
    frame = load_runs(store)
    assert frame[["strategy", "seed", "state"]].values.tolist() == [["er", 0, "done"], ["er", 1, "failed"]]
    assert frame["mAP"].notna().tolist() == [True, False]
    assert "mAP:minority" in frame


def test_a_line_for_each_run_with_fractions_as_in_its_file(store: Path, make: Make) -> None:
    make("er", 0, changed={"lr": 0.5})
    make("er", 1, changed={"lr": 0.5})
    make("joint", 0, joint=True, view="limited:3")
    frame = load_runs(store)
    assert list(frame.columns)[:7] == ["scenario", "strategy", "label", "config_hash", "seed", "state", "view"]
    assert frame["label"].tolist() == ["er (lr=0.5)", "er (lr=0.5)", "joint"]
    assert frame["view"].tolist() == ["all", "all", "limited:3"]
    runs = list(find_runs(store))
    assert frame["config_hash"].tolist() == [run.config_hash for run in runs]
    assert frame["mAP"].tolist() == [run.metrics["final"]["mAP"] for run in runs]
    assert frame["mAP:minority"].tolist() == [run.metrics["groups"]["minority"]["mAP"] for run in runs]
    assert frame["positive_angle"].tolist() == [75.25] * 3
    assert frame["forgetting_mAP"].isna().tolist() == [False, False, True]
    assert frame["mAP"].dtype == frame["forgetting_mAP"].dtype == float


def test_runs_without_a_number_have_no_columns_of_any(store: Path, make: Make) -> None:
    make("er", 0, FAILED, reason="it broke")
    frame = load_runs(str(store))
    assert frame["state"].tolist() == ["failed"] and len(frame.columns) == 7


def test_no_folder_is_said_and_an_empty_one_is_an_empty_frame(tmp_path: Path) -> None:
    assert load_runs(tmp_path).empty
    with pytest.raises(StoreError, match="a results folder at .*nowhere"):
        load_runs(tmp_path / "nowhere")
