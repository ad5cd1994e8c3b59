"""With submitit's executor for one machine in the place of Slurm."""

import sys
from pathlib import Path

import pytest
from cells24 import check_one_killed, check_stop_and_failure

from clbench.errors import UsageError
from clbench.launch.cells import Cell
from clbench.launch.launcher import Workers, launcher
from clbench.launch.on_slurm import MARGIN, MOST, executor, shares, typed
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario

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


@pytest.mark.slow
def test_24_runs_by_jobs_one_of_which_is_killed(submitit: object, tmp_path: Path) -> None:
    kills = check_one_killed(launcher("slurm", Workers(2, asked=LOCAL)), tmp_path)
    assert any("ended early" in said for said in kills.messages)


@pytest.mark.slow
def test_jobs_stop_with_a_checkpoint_and_failures_are_told(submitit: object, tmp_path: Path) -> None:
    check_stop_and_failure(launcher("slurm", Workers(1, asked=LOCAL)), tmp_path / "runs")
