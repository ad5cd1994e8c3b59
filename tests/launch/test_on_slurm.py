"""With submitit's executor for one machine in the place of Slurm."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cells24 import CPU, check_one_killed, check_stop_and_failure
from scripted import SHORT, debug

from clbench.errors import UsageError
from clbench.launch import on_slurm
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Launcher, Workers, launcher
from clbench.launch.on_slurm import MARGIN, MOST, executor, shares, typed
from clbench.launch.spec import Spec
from clbench.launch.worker import how_as_json
from clbench.running.build import Prepared, build_scenario
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import Run

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


class Job:
    """One that is over at once, unless it waits to be cancelled."""

    def __init__(self, work: Callable[[], Any], lost: str | None, waits: bool) -> None:
        self.job_id, self.paths = "7_0", SimpleNamespace(stderr=Path("7_0.err"))
        self._lost, self._waits = lost, waits
        self._result = None if lost or waits else work()

    def done(self) -> bool:
        return not self._waits

    def cancel(self, check: bool) -> None:
        assert not check
        self._waits, self._lost = False, "cancelled"

    def exception(self) -> Exception | None:
        return RuntimeError(f"trace\n{self._lost}") if self._lost else None

    def result(self) -> Any:
        return self._result


class Arrays:
    """Stands for submitit's executor: one array after another, in this process.

    lost: what ends the jobs of each array early, None for nothing; afterwards the last of them. waits: jobs do not end
    by themselves.
    """

    def __init__(self, *lost: str | None, waits: bool = False) -> None:
        self.lost, self.waits = list(lost), waits
        self.sent: list[tuple[dict[str, Any], Any, Any]] = []
        self.made: tuple[Any, ...] = ()

    def __call__(self, *made: Any) -> "Arrays":
        self.made = made
        return self

    def map_array(self, work: Any, own: Any, rest: Any) -> list[Job]:
        self.sent.append((work.keywords, own, rest))
        lost = self.lost.pop(0) if len(self.lost) > 1 else self.lost[0]
        return [Job(partial(work, *each), lost, self.waits) for each in zip(own, rest, strict=True)]


class Hears(LaunchListener):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, message: str) -> None:
        self.heard.append(message)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.heard.append(f"done {cell.spec.seed}")


def scripted(monkeypatch: pytest.MonkeyPatch, arrays: Arrays, **asked: str) -> Launcher:
    monkeypatch.setattr(on_slurm, "executor", arrays)
    monkeypatch.setattr(on_slurm, "LOOK", 0.0)
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    return launcher("slurm", Workers(2, asked=asked))


def test_arrays_follow_each_other_until_all_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, heard = Arrays("its node was lost", None), Hears()
    listed = debug(tmp_path, *range(3))
    run_all(listed[:1], CPU, listener=LaunchListener())
    carry_out = scripted(monkeypatch, arrays, timeout_min="10", partition="gpu")
    outcome = carry_out(listed, CPU, listener=heard)
    assert sorted(run.seed for run in outcome.runs) == [0, 1, 2] and not outcome.failures and outcome.stop is None
    assert arrays.made == (tmp_path / ".slurm", {"timeout_min": 10, "partition": "gpu"})
    assert heard.heard == ["job 7_0 ended early: its node was lost; see 7_0.err"] * 2 + ["done 1", "done 2"]
    assert len(arrays.sent) == 2
    for keywords, own, rest in arrays.sent:
        assert keywords["seconds"] == 0.9 * 600 and keywords["how"] == how_as_json(CPU)
        assert [[spec["seed"] for spec in each] for each in own] == [[1], [2]]
        assert [[spec["seed"] for spec in each] for each in rest] == [[2], [1]]
    assert carry_out(listed, CPU, listener=heard).runs and len(arrays.sent) == 2  # all was done already


@pytest.mark.parametrize(("minutes", "seconds"), [("10", 540.0), ("600", 36_000.0 - MOST), (None, 240 * 60 - MOST)])
def test_jobs_end_before_their_time_limit(
    minutes: str | None, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = Arrays(None)
    asked = {} if minutes is None else {"timeout_min": minutes}
    scripted(monkeypatch, arrays, **asked)([Spec("debug", "finetune", out=tmp_path)], CPU, listener=LaunchListener())
    [(keywords, _, _)] = arrays.sent
    assert keywords["seconds"] == seconds
    assert arrays.made[1]["timeout_min"] == (240 if minutes is None else int(minutes))


def test_a_run_is_done_afresh_by_the_first_array_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, listed = Arrays("lost", None), [Spec("debug", "finetune", out=tmp_path)]
    run_all(listed, CPU, listener=LaunchListener())
    outcome = scripted(monkeypatch, arrays)(listed, replace(CPU, rerun=True), listener=LaunchListener())
    assert [keywords["how"]["rerun"] for keywords, _, _ in arrays.sent] == [True, False]
    assert len(outcome.failures) == 1 and not outcome.runs  # nothing was done afresh, and what is there is of before


def test_arrays_that_do_nothing_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays("no such partition")
    listed = [Spec("debug", "finetune", out=tmp_path)]
    outcome = scripted(monkeypatch, arrays)(listed, CPU, listener=LaunchListener())
    [failure] = outcome.failures
    assert str(failure.error) == f"Expected a job to do this run but 2 arrays of them did not; see {tmp_path}/.slurm."
    assert len(arrays.sent) == 2 and not outcome.runs


def test_a_run_without_memory_is_tried_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "short_on_slurm.py").write_text(SHORT)
    listed = [Spec("debug", name, out=tmp_path / "runs") for name in (str(tmp_path / "short_on_slurm.py"), "finetune")]
    arrays = Arrays(None)
    outcome = scripted(monkeypatch, arrays)(listed, CPU, listener=LaunchListener())
    [failure] = outcome.failures
    assert failure.no_memory and failure.spec.strategy.endswith("short_on_slurm.py") and len(outcome.runs) == 1
    assert [len(own) for _, own, _ in arrays.sent] == [2, 1]


def test_jobs_are_cancelled_where_the_list_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, heard, requests = Arrays(None, waits=True), Hears(), Requests()
    monkeypatch.setattr("time.sleep", lambda seconds: requests.ask_to_stop(Stopped("enough", 75)))
    listed = [Spec("debug", "finetune", out=tmp_path)]
    outcome = scripted(monkeypatch, arrays)(listed, CPU, listener=heard, requests=requests)
    assert outcome.stop and str(outcome.stop) == "enough" and not outcome.runs and not outcome.failures
    assert heard.heard == ["job 7_0 ended early: cancelled; see 7_0.err"] and len(arrays.sent) == 1


@pytest.mark.slow
def test_24_runs_by_jobs_one_of_which_is_killed(submitit: object, tmp_path: Path) -> None:
    kills = check_one_killed(launcher("slurm", Workers(2, asked=LOCAL)), tmp_path)
    assert any("ended early" in said for said in kills.messages)


@pytest.mark.slow
def test_jobs_stop_with_a_checkpoint_and_failures_are_told(submitit: object, tmp_path: Path) -> None:
    check_stop_and_failure(launcher("slurm", Workers(1, asked=LOCAL)), tmp_path / "runs")
