import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clbench.launch import plan as planning
from clbench.launch.cells import Builder, Cell, LaunchListener, run_all
from clbench.launch.estimates import Cost, Load, load_of_run
from clbench.launch.plan import by_jobs, load_of, plan, planned_runs, steps_of
from clbench.launch.spec import Spec
from clbench.running.build import Prepared
from clbench.running.execute import How
from clbench.store.folder import Run

CPU, HOW = torch.device("cpu"), How("cpu")


def built(*specs: Spec) -> list[Cell]:
    builder = Builder(LaunchListener())
    return [builder.cell(spec, spec.config()) for spec in specs]


def never(cell: Cell, error: Exception) -> None:
    raise error


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Strategies whose first steps are timed: 2 s of learning for each."""
    found: list[str] = []

    def timed(prepared: Prepared, load: Load, *others: object) -> Cost:
        found.append(prepared.config.strategy)
        if prepared.config.strategy == "lwf":
            raise RuntimeError("out of paper")
        return Cost(load, 2.0, 0.0, 0.0, 2**20, timed=True)

    monkeypatch.setattr(planning, "timed", timed)
    return found


def test_the_load_of_a_run_is_that_of_its_folder(tmp_path: Path) -> None:
    [cell] = built(Spec("debug", "er", out=tmp_path, settings={"epochs": 2, "memory.size": "3"}))
    assert steps_of(cell) == 2 * 6
    [run] = run_all([cell.spec], HOW, listener=LaunchListener()).runs
    there = load_of_run(run)
    assert json.loads(json.dumps(load_of(cell, CPU).as_json())) == json.loads(json.dumps(there.as_json()))
    assert load_of(cell, CPU).set_up == there.set_up


def test_a_kind_is_timed_once_and_not_where_it_is_known(tmp_path: Path, timings: list[str]) -> None:
    first = Spec("debug", "er", out=tmp_path)
    run_all([first], HOW, listener=LaunchListener())
    others = [Spec("debug", "finetune", seed=seed, out=tmp_path) for seed in (0, 1)]
    slow = Spec("debug", "finetune", settings={"epochs": 3}, out=tmp_path)
    found = plan(built(first, Spec("debug", "er", seed=1, out=tmp_path), *others, slow), HOW, never)
    assert timings == ["finetune"]
    assert [each.state for each in found] == ["done", "new", "new", "new", "new"]
    assert [each.estimate and each.estimate.source for each in found] == ["1 run"] * 2 + ["timed"] * 3
    told = json.loads(json.dumps(found[2].as_json()))
    assert told["spec"] == others[0].as_json() and told["folder"] == str(found[2].cell.folder)
    names = ("cell", "state", "seconds", "seconds_left", "memory_bytes", "from")
    assert [told[name] for name in names] == ["debug/finetune seed 0", "new", 2.0, 2.0, 2**20, "timed"]
    assert found[0].left == 0.0 and [each.left for each in found[2:]] == [2.0, 2.0, 6.0]
    assert not list((tmp_path / "debug").glob("finetune*"))


def test_first_steps_that_fail_leave_a_run_without_an_estimate(tmp_path: Path, timings: list[str]) -> None:
    failed: list[str] = []
    specs = [Spec("debug", name, seed=seed, out=tmp_path) for name in ("lwf", "ewc") for seed in (0, 1)]
    found = plan(built(*specs), HOW, lambda cell, error: failed.append(f"{cell}: {error}"))
    assert failed == ["debug/lwf seed 0: out of paper"] and timings == ["lwf", "ewc"]
    assert [each.left for each in found] == [None, None, 2.0, 2.0] and found[0].as_json()["from"] is None
    assert by_jobs(found) == [
        {"jobs": 1, "seconds": 4.0, "memory_bytes": 2**20},
        {"jobs": 2, "seconds": 2.0, "memory_bytes": 2 * 2**20},
        {"jobs": 4, "seconds": 2.0, "memory_bytes": 2 * 2**20},
    ]


def test_an_interrupted_run_is_done_in_part(tmp_path: Path, timings: list[str]) -> None:
    [cell] = built(Spec("debug", "finetune", out=tmp_path))
    (cell.folder / "checkpoint" / "3").mkdir(parents=True)
    (cell.folder / "status.json").write_text('{"state": "interrupted", "reason": "x"}')
    [found] = plan([cell], HOW, never)
    assert (found.state, found.left, Run(cell.folder).state) == ("interrupted", 1.0, "interrupted")


def test_workers_may_have_the_largest_runs_at_once(tmp_path: Path, timings: list[str]) -> None:
    found = plan(built(*(Spec("debug", "finetune", seed=seed, out=tmp_path) for seed in range(3))), HOW, never)
    sizes = (1, 9, 5)
    estimates = [
        replace(each.estimate, memory_bytes=size) for each, size in zip(found, sizes, strict=True) if each.estimate
    ]
    sized = [replace(each, estimate=estimate) for each, estimate in zip(found, estimates, strict=True)]
    assert [each["memory_bytes"] for each in by_jobs(sized)] == [9, 14, 15]
    assert [each["jobs"] for each in by_jobs(sized)] == [1, 2, 3]


def test_nothing_is_left_of_what_is_done(tmp_path: Path) -> None:
    assert by_jobs([]) == []


def test_a_plan_in_a_store_says_how_to_build_its_runs(tmp_path: Path) -> None:
    cells = built(Spec("debug", "er", memory="prs", seed=3, out=tmp_path), Spec("debug", "joint", out=tmp_path))
    er, joint = planned_runs(cells, CPU)
    assert Spec.from_json(json.loads(json.dumps(er.spec))) == cells[0].spec
    assert tmp_path / er.folder == cells[0].folder and er.called == "debug/er (memory=prs) seed 3"
    assert (er.steps, joint.steps) == (6, 0)
    assert Load.from_json(er.load) == load_of(cells[0], CPU)
