import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.store import plans
from clbench.store.folder import find_runs
from clbench.store.plans import Plan

CommandLine = Callable[..., tuple[int, str, str]]
TABLE = """
scenario = "debug"
device = "cpu"

[[cells]]
strategy = ["finetune", "joint"]

[[cells]]
strategy = "er"
memory = ["reservoir", "prs"]
seed = "0..1"
"""
STOPPED = """
scenario = "debug"
device = "cpu"

[[cells]]
strategy = "finetune"

[[cells]]
strategy = "er"
set = {epochs = 200}

[[cells]]
strategy = "er"
memory = "prs"
"""
"""The second takes long enough to be seen."""


@pytest.mark.slow
def test_a_sweep_leaves_its_plan_and_is_done_at_the_second_time(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(TABLE)
    code, out, err = clbench("sweep", "t.toml")
    assert code == 0 and len(out.splitlines()) == 2 + 6 and "6 run(s) on cpu" in err
    store = tmp_path / "results" / "runs"
    [(_, plan)] = plans.find(store)
    assert isinstance(plan, Plan) and plan.command == ["clbench", "sweep", "t.toml"]
    assert {store / run.folder for run in plan.runs} == {run.folder for run in find_runs(store)}
    code, out, err = clbench("sweep", "t.toml")
    assert code == 0 and err.count("done already") == 6 and len(list(plans.find(store))) == 1
    code, out, err = clbench("status")
    assert (code, out) == (0, "6 run(s) in results/runs: 6 done\n")


@pytest.mark.slow
def test_only_runs_in_some_state_are_run(clbench: CommandLine, tmp_path: Path) -> None:
    grid = ("--scenario", "debug", "--device", "cpu", "--strategy", "finetune,ewc")
    clbench("run", *grid[:-1], "finetune")
    diverges = ("--set", "lr=1e30", "--set", "optimizer=sgd")
    clbench("run", *grid[:-1], "ewc", *diverges)
    code, out, err = clbench("sweep", *grid, *diverges, "--only", "failed,diverged")
    assert code == 1 and "1 of 2 run(s) are diverged or failed" in err and "ewc" in err.splitlines()[-1]
    code, out, err = clbench("sweep", *grid, "--only", "new", "--json")
    assert code == 0 and [run["strategy"] for run in json.loads(out)["runs"]] == ["ewc"]
    code, out, err = clbench("sweep", *grid, "--only", "new")
    assert (code, out) == (0, "") and "0 of 2 run(s) are new" in err


def test_a_store_that_cannot_be_written_is_told_before_the_first_run(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = clbench("sweep", "--scenario", "debug", "--strategy", "er,finetune", "--out", "file")
    assert (code, out) == (5, "") and "Expected to write results to file but got" in err.splitlines()[-1]
    assert "task 1" not in err


@pytest.mark.slow
def test_a_sweep_that_is_stopped_is_watched_from_beside_and_goes_on(tmp_path: Path) -> None:
    """Two processes on one folder: the one runs, the other reads; the second sweep ends what the first has begun."""
    (tmp_path / "t.toml").write_text(STOPPED)
    command = [sys.executable, "-m", "clbench"]

    def status() -> dict[str, int]:
        told = subprocess.run([*command, "status", "--json"], cwd=tmp_path, capture_output=True, text=True)
        return dict(json.loads(told.stdout)["states"]) if told.returncode == 0 else {}

    sweep = subprocess.Popen([*command, "sweep", "t.toml"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline, seen = time.monotonic() + 120, status()
    while seen.get("running") != 1 or seen.get("done") != 1:
        assert time.monotonic() < deadline and sweep.poll() is None
        seen = status()
    assert seen == {"done": 1, "running": 1, "new": 1}
    sweep.send_signal(signal.SIGINT)
    assert sweep.wait(timeout=60) == 130
    assert status() == {"done": 1, "interrupted": 1, "new": 1}
    watch = subprocess.Popen([*command, "status", "--watch", "--every", "0.3"], cwd=tmp_path, stdout=subprocess.PIPE)
    again = subprocess.run([*command, "sweep", "t.toml"], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr.count("done already") == 1 and "going on after step" in again.stderr
    shown, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0 and shown.decode().strip().endswith("3 run(s) in results/runs: 3 done")
