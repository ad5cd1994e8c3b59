import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import StoreError
from clbench.store import plans
from clbench.store.folder import INTERRUPTED, RUNNING, STATES
from clbench.store.lock import held
from clbench.store.plans import DAMAGED, NEW, Plan, PlannedRun, share_done, state_of

Make = Callable[..., Path]


def planned(seed: int, strategy: str = "er") -> PlannedRun:
    folder = f"made/{strategy}/abcd12345678/seed{seed}"
    return PlannedRun(folder, f"made/{strategy} seed {seed}", 10, {"scenario": "made"}, {})


def test_a_plan_is_read_as_it_was_written_and_the_same_list_has_the_same_file(tmp_path: Path) -> None:
    file = plans.write(tmp_path, [planned(0), planned(1)])
    assert file.parent == tmp_path / ".plans" and plans.write(tmp_path, [planned(0), planned(1)]) == file
    [(found, plan)] = plans.find(tmp_path)
    assert found == file and isinstance(plan, Plan) and plan.runs == [planned(0), planned(1)]
    assert plans.write(tmp_path, [planned(0)]) != file and len(list(plans.find(tmp_path))) == 2


def test_the_newest_comes_first(tmp_path: Path) -> None:
    for number, file in enumerate([plans.write(tmp_path, [planned(seed)]) for seed in range(3)]):
        value = json.loads(file.read_text())
        file.write_text(json.dumps(value | {"time": f"2026-01-0{(2, 3, 1)[number]}T00:00:00+00:00"}))
    times = [plan.time for _, plan in plans.find(tmp_path) if isinstance(plan, Plan)]
    assert times == sorted(times, reverse=True) and len(times) == 3


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2}',
        '{"schema": 1, "time": 3, "command": [], "runs": []}',
        '{"schema": 1, "time": "", "command": [], "runs": [{}]}',
        '{"schema": 1, "time": "", "command": [], "runs": [{"folder": "../er/abcd12345678/seed0", "called": "", '
        '"steps": 1, "spec": {}, "load": {}}]}',
        '{"schema": 1, "time": "", "command": [], "runs": [{"folder": "/er/abcd12345678/seed0", "called": "", '
        '"steps": 1, "spec": {}, "load": {}}]}',
        '{"schema": 1, "time": "", "command": [], "runs": [{"folder": 7, "called": "", "steps": 1, "spec": {}, '
        '"load": {}}]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_plan_costs_itself(tmp_path: Path, damage: str) -> None:
    file = plans.write(tmp_path, [planned(0)])
    (file.parent / "another.json").write_text(damage)
    good, bad = plans.find(tmp_path)
    assert isinstance(good[1], Plan) and isinstance(bad[1], StoreError)
    assert "another.json but got" in str(bad[1]) and "delete it" in str(bad[1])


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Expected to write results to .*file but got: .*choose another folder"):
        plans.write(tmp_path / "file", [planned(0)])


@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_run_is_its_folders_but_that_nobody_runs(make: Make, state: str) -> None:
    folder = make("store", state=state)
    if state == RUNNING:
        (folder / "SHA256SUMS").unlink()
    assert state_of(folder) == (INTERRUPTED if state == RUNNING else state)
    with held(folder):
        assert state_of(folder) == state


def test_no_folder_is_new_and_one_that_cannot_be_read_damaged(make: Make, tmp_path: Path) -> None:
    folder = make("store")
    assert state_of(tmp_path / "none") == NEW
    (folder / "status.json").write_text("{}")
    assert state_of(folder) == DAMAGED
    with held(tmp_path / "begun"):
        assert state_of(tmp_path / "begun") == RUNNING


def test_how_much_is_done_is_told_by_the_last_checkpoint(tmp_path: Path) -> None:
    assert share_done(tmp_path, 10) == (0.0, None)
    for step in ("4", "8", "9.tmp"):
        (tmp_path / "checkpoint" / step).mkdir(parents=True)
    assert share_done(tmp_path, 10) == (0.8, None)
    assert share_done(tmp_path, 0) == (0.0, None)  # of joint training nobody knows


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, clbench.store.plans, clbench.launch.standing, clbench.cli.status; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
