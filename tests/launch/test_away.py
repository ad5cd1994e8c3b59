import os
from pathlib import Path

import pytest

from clbench.launch.away import Away, shipped
from clbench.launch.cells import Cell, LaunchListener
from clbench.launch.outcome import Elsewhere, Failure, Outcome
from clbench.launch.run import run
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario
from clbench.store.folder import Run
from clbench.store.heartbeat import Place, beating
from clbench.store.lock import held


class Diary(LaunchListener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, message: str) -> None:
        self.lines.append(f"said {message}")

    def started(self, cell: Cell) -> None:
        self.lines.append(f"started {cell.spec.seed}")

    def at(self, cell: Cell, heartbeat: object) -> None:
        self.lines.append(f"at {cell.spec.seed}")

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.lines.append(f"done {cell.spec.seed}")

    def done_already(self, cell: Cell, run: Run) -> None:
        self.lines.append(f"already {cell.spec.seed}")

    def failed(self, failure: Failure) -> None:
        self.lines.append(f"failed {failure.spec.seed}")


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    spec = Spec("debug", "finetune", out=tmp_path)
    prepared = Prepared(spec.config(), build_scenario(spec.config()))
    return [Cell(Spec("debug", "finetune", seed=seed, out=tmp_path), prepared) for seed in range(3)]


@pytest.mark.parametrize("rerun", [False, True])
def test_folders_tell_what_becomes_of_runs(cells: list[Cell], tmp_path: Path, rerun: bool) -> None:
    run("debug", "finetune", seeds=[0], out=tmp_path)
    diary, outcome = Diary(), Outcome()
    away = Away([*cells, cells[1]], rerun, diary, outcome)
    assert len(away.todo) == (3 if rerun else 2) and diary.lines == ([] if rerun else ["already 0"])
    away.look()  # nothing is new
    folder = cells[1].folder
    folder.mkdir(parents=True, exist_ok=True)
    with beating(folder, lambda: Place(1, 1, 0, 1, 0, 1), lambda: None):
        while not (folder / "heartbeat.json").exists():
            pass
        away.look()
        away.look()  # the same beat is told once
    run("debug", "finetune", seeds=[1], out=tmp_path)
    run("debug", "finetune", seeds=[0], out=tmp_path, rerun=rerun)
    before = away.traces()
    away.look()
    assert away.traces() != before
    assert diary.lines == (
        ["started 1", "at 1", "done 0", "done 1"] if rerun else ["already 0", "started 1", "at 1", "done 1"]
    )
    assert {each.folder for each in outcome.runs} == {cell.folder for cell in cells[:2]} and list(away.todo) == [
        cells[2].folder
    ]


def told(cell: Cell, error: Exception) -> Outcome:
    """As a job tells it: by the specification that was shipped."""
    failure = Failure(Spec.from_json(shipped(cell)), error, cell.folder)
    return Outcome.from_json(Outcome(failures=[failure]).as_json())


def test_what_a_job_says_is_of_the_lists_own_runs(cells: list[Cell]) -> None:
    diary, outcome = Diary(), Outcome()
    away = Away(cells, False, diary, outcome)
    away.take_in(told(cells[0], RuntimeError("it broke")))
    away.take_in(told(cells[0], RuntimeError("it broke")))  # as another job has it
    away.take_in(told(cells[1], MemoryError("none")))
    assert [failure.spec for failure in outcome.failures] == [cells[0].spec] and away.short == [cells[1]]
    assert diary.lines[0] == "failed 0" and "tried once more in the end, alone" in diary.lines[1]
    away.again(cells[1])
    away.take_in(told(cells[1], MemoryError("none")))
    assert [failure.spec.seed for failure in outcome.failures] == [0, 1] and away.short == [cells[1]]
    with held(cells[2].folder):
        away.give_up("nobody did it")
    assert [failure.spec.seed for failure in outcome.busy] == [2] and str(os.getpid()) in str(outcome.busy[0])
    away.again(cells[2])
    away.give_up("nobody did it")
    assert isinstance(outcome.failures[-1].error, Elsewhere) and not away.todo


def test_what_is_shipped_holds_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from strategies.finetune import Finetune\n\n\nclass Mine(Finetune):\n    pass\n")
    spec = Spec("debug", "./mine.py", out=Path("runs"), data_root=Path("data"))
    prepared = Prepared(spec.config(), build_scenario(spec.config()))
    there = shipped(Cell(spec, prepared))
    assert there["strategy"] == str(tmp_path / "mine.py") and there["scenario"] == "debug"
    assert (there["out"], there["data_root"]) == (str(tmp_path / "runs"), str(tmp_path / "data"))
    assert there["recipe"] is None and there["config_hash"] == prepared.config_hash
    monkeypatch.chdir("/")
    again = Spec.from_json(there)
    assert Prepared(again.config(), prepared.scenario).config_hash == prepared.config_hash
