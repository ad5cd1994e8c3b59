import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clbench.cli.status import CLEAR, MOST
from clbench.launch.estimates import load_of_run
from clbench.store import plans
from clbench.store.folder import find_runs
from clbench.store.heartbeat import FILE, Heartbeat
from clbench.store.lock import held
from clbench.store.plans import PlannedRun

CommandLine = Callable[..., tuple[int, str, str]]
NAME = "debug/er (memory=reservoir, memory.size=5, weights_trained_on=nothing) seed {}"


@pytest.fixture
def store(real_store: Path) -> Path:
    """Six runs that are done, and a plan of three: one is done, one was killed, one is to come."""
    done = next(run for run in find_runs(real_store) if (run.scenario, run.strategy) == ("debug", "er"))
    folders = [done.folder.with_name(f"seed{seed}") for seed in (0, 7, 8)]
    shutil.copytree(done.folder, folders[1])
    (folders[1] / "SHA256SUMS").unlink()
    (folders[1] / "status.json").write_text('{"state": "running"}')
    load = load_of_run(done).as_json()
    runs = [PlannedRun(f.relative_to(real_store).as_posix(), NAME.format(f.name[4:]), 6, {}, load) for f in folders]
    plans.write(real_store, runs)
    return real_store


def killed(store: Path) -> Path:
    return next(store.glob("debug/er/*/seed7"))


def beat(folder: Path, seconds_ago: float) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    made = Heartbeat(2, 3, 1, 2, 3, 6, 1234.5, host="node-17.cluster", pid=4711, since=at, at=at)
    (folder / FILE).write_text(json.dumps(asdict(replace(made, beat=4))))


def test_what_runs_and_what_has_stopped_fits_into_80_columns(clbench: CommandLine, store: Path) -> None:
    code, out, err = clbench("status", str(store))
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) <= 80
    assert "8 run(s) in" in out and "6 done, 1 interrupted, 1 new; about" in " ".join(out.split())
    assert "seed 7: interrupted: stopped without a word" in " ".join(out.split()) and "running" not in out
    with held(killed(store)):
        beat(killed(store), 70)
        code, out, err = clbench("status", "--runs", str(store))
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[3].split()[:2] == ["running", "task"] or "running" in out
    line = " ".join(out.split())
    assert " 2/3 1/2 1234 " in line and "4711 on node-17.cluster" in line and "70 s !" in line


def test_a_run_that_has_just_begun_has_no_place_and_no_number_stands_alone(clbench: CommandLine, store: Path) -> None:
    at = datetime.now(UTC).isoformat()
    with held(killed(store)):
        new = Heartbeat(0, 0, 0, 0, 0, 0, host="here", pid=7, since=at, at=at)
        (killed(store) / FILE).write_text(json.dumps(asdict(new)))
        out = clbench("status", str(store))[1]
    assert "0/0" not in out and not [line for line in out.splitlines() if line.strip() == "7"]


def test_many_that_have_stopped_are_not_all_listed(clbench: CommandLine, store: Path) -> None:
    for seed in range(100, 100 + MOST):
        shutil.copytree(killed(store), killed(store).with_name(f"seed{seed}"))
    out = " ".join(clbench("status", str(store))[1].split())
    assert out.count(": interrupted: ") == MOST and "and 1 more, which --json lists" in out
    told = json.loads(clbench("status", str(store), "--json")[1])
    assert told["states"]["interrupted"] == MOST + 1 == sum(run["state"] == "interrupted" for run in told["runs"])


def test_json_tells_of_every_run(clbench: CommandLine, store: Path) -> None:
    told = json.loads(clbench("status", str(store), "--json")[1])
    assert told["states"] == {"done": 6, "interrupted": 1, "new": 1} and told["runs_left"] == 2
    assert told["seconds_left"] > 0 and told["runs_of_unknown_time"] == 0
    [new] = [run for run in told["runs"] if run["state"] == "new"]
    assert new["run"] == NAME.format(8) and new["beat_age_s"] is None and new["seconds_left"] > 0


def test_what_nobody_knows_is_said_so(clbench: CommandLine, store: Path) -> None:
    for run in list(find_runs(store)):
        if run.scenario == "debug" and run.strategy == "er" and run.state == "done":
            shutil.rmtree(run.folder)
    assert "nothing tells yet how long the rest takes" in " ".join(clbench("status", str(store))[1].split())


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_ends_once_all_is_done(
    clbench: CommandLine, store: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            [plan] = (store / ".plans").iterdir()
            plan.unlink()
            shutil.rmtree(killed(store))

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    code, out, _ = clbench("status", str(store), "--watch", "--every", "0.5")
    assert code == 0 and slept == [0.5, 0.5]
    assert out.count("run(s) in") == 3 and out.count(CLEAR) == (3 if terminal else 0)
    assert "6 run(s) in" in out and out.endswith("6 done\n\n")


def test_watching_ends_with_an_interrupt(clbench: CommandLine, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    code, out, err = clbench("status", str(store), "--watch", "--json")
    assert code == 130 and len(out.splitlines()) == 1 and json.loads(out) and "Traceback" not in err


def test_no_store_is_a_sentence(clbench: CommandLine) -> None:
    code, out, err = clbench("status")
    assert (code, out) == (5, "") and "Expected a results folder at results/runs" in err
