"""With submitit's executor for one machine in the place of Slurm."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from cells24 import CELLS, bits, specs

from clbench.errors import UsageError
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Workers, launcher
from clbench.launch.on_slurm import MARGIN, MOST, executor, shares, typed
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests
from clbench.store.folder import Run, find_runs
from clbench.store.heartbeat import Heartbeat

CPU = How("cpu", Schedule(steps=30))
LOCAL = {"cluster": "local", "timeout_min": "10"}


@pytest.fixture
def submitit() -> object:
    return pytest.importorskip("submitit", reason="needs the extra slurm: pip install -e '.[slurm]'")


def cells(out: Path) -> list[Cell]:
    found = []
    for name in ("debug", "debug-incremental"):
        config = Spec(name, "finetune").config()
        prepared = Prepared(config, build_scenario(config))
        found += [Cell(Spec(name, "finetune", seed=seed, out=out), prepared) for seed in range(3)]
    return found


def test_each_job_has_its_own_runs_and_then_others_of_the_same_scenarios(tmp_path: Path) -> None:
    def short(lists: list[list[dict[str, object]]]) -> list[list[str]]:
        return [[f"{str(spec['scenario'])[5:]}{spec['seed']}" for spec in each] for each in lists]

    own, rest = shares(cells(tmp_path), 3)
    assert short(own) == [["0", "1"], ["2", "-incremental0"], ["-incremental1", "-incremental2"]]
    assert short(rest) == [["2"], ["-incremental1", "-incremental2", "0", "1"], ["-incremental0"]]
    assert [len(each) for each in shares(cells(tmp_path), 100)[0]] == [1] * 6


def test_numbers_are_numbers() -> None:
    assert (typed("4"), typed("gpu"), typed("4G")) == (4, "gpu", "4G")
    assert 0 < MARGIN < 1 and MOST < 3600


def test_without_submitit_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match="Expected submitit for --launcher slurm"):
        launcher("slurm")
    with pytest.raises(UsageError, match="Expected no --devices with --launcher slurm"):
        launcher("slurm", Workers(devices=("cpu",)))


def test_what_a_cluster_does_not_have_is_one_sentence(submitit: object, tmp_path: Path) -> None:
    for asked in ({"cluster": "no-such"}, {**LOCAL, "no_such": 1}, {}):
        with pytest.raises(UsageError, match="to take what --ask says but got"):
            executor(tmp_path, asked)


class Kills(LaunchListener):
    """Kills the job of the first run of which it hears that it goes on."""

    def __init__(self) -> None:
        self.killed, self.done_times = 0, dict[str, int]()
        self.messages: list[str] = []
        self.failures: list[Failure] = []

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        if not self.killed:
            while not any((cell.folder / "checkpoint").glob("*/MANIFEST.json")):
                time.sleep(0.01)
            self.killed = heartbeat.pid
            os.kill(heartbeat.pid, signal.SIGKILL)

    def said(self, message: str) -> None:
        self.messages.append(message)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.done_times[str(cell)] = self.done_times.get(str(cell), 0) + 1


@pytest.mark.slow
def test_24_runs_by_jobs_one_of_which_is_killed(submitit: object, tmp_path: Path) -> None:
    serial, out = tmp_path / "serial", tmp_path / "runs"
    run_all(specs(serial), CPU, listener=LaunchListener())
    kills = Kills()
    outcome = launcher("slurm", Workers(2, asked=LOCAL))(specs(out), CPU, listener=kills)
    assert kills.killed and any("ended early" in said for said in kills.messages)
    assert not outcome.failures and not outcome.busy and outcome.stop is None
    assert len(outcome.runs) == CELLS and set(kills.done_times.values()) == {1}
    assert bits(out) == bits(serial)


@pytest.mark.slow
def test_jobs_stop_with_a_checkpoint_and_failures_are_told(submitit: object, tmp_path: Path) -> None:
    class Stops(LaunchListener):
        def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
            signal.raise_signal(signal.SIGTERM)

    long = [Spec("debug", "finetune", settings={"epochs": 4000}, out=tmp_path / "runs")]
    carry_out = launcher("slurm", Workers(1, asked=LOCAL))
    outcome = carry_out(long, CPU, listener=Stops(), requests=Requests())
    assert outcome.stop is not None and outcome.stop.exit_code == 143 and not outcome.failures
    [run] = find_runs(tmp_path / "runs")
    assert run.state == "interrupted" and any((run.folder / "checkpoint").iterdir())
    diverges = Spec("debug", "finetune", settings={"lr": 1e30, "optimizer": "sgd"}, out=tmp_path / "runs")
    outcome = carry_out([diverges], CPU, listener=LaunchListener())
    assert "Expected finite" in str(outcome.failures[0]) and outcome.failures[0].spec == diverges
