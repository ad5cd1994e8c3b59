import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from clbench.cli import several
from clbench.cli.progress import PLAIN_EVERY
from clbench.cli.several import Several
from clbench.launch.cells import Cell
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario
from clbench.running.execute import How
from clbench.store.folder import Run
from clbench.store.heartbeat import Heartbeat
from clbench.store.lock import Busy


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    spec = Spec("debug", "finetune", out=tmp_path)
    prepared = Prepared(spec.config(), build_scenario(spec.config()))
    return [Cell(Spec("debug", "finetune", seed=seed, out=tmp_path), prepared) for seed in range(3)]


def beat(done: int, rate: float | None) -> Heartbeat:
    return Heartbeat(1, 1, done, 10, done, 10, rate)


def test_all_runs_are_one_line(cells: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    with Several(How("cpu"), debug=False) as shown:
        shown.planned(cells, [])
        assert shown.line() == "0 of 3 runs ended"
        shown.started(cells[0])
        shown.started(cells[1])
        assert shown.line() == "0 of 3 runs ended, 2 going on"
        shown.at(cells[0], beat(5, 12.4))
        shown.at(cells[1], beat(1, 10.2))
        assert shown.line() == "0 of 3 runs ended, 2 going on (30 % done), 23 img/s"
        shown.done(cells[0], Run(cells[0].folder), 1.0)
        shown.failed(Failure(cells[1].spec, RuntimeError("it broke"), cells[1].folder))
        assert shown.line() == "2 of 3 runs ended"
        shown.started(cells[2])
        shown.left(cells[2], Busy("another has it"))
        assert shown.line() == "2 of 3 runs ended"
    assert "debug/finetune seed 1: RuntimeError: it broke" in capsys.readouterr().err


def test_plain_lines_come_now_and_then(
    cells: list[Cell], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Several(How("cpu"), debug=False) as shown:
        shown.planned(cells, [])
        capsys.readouterr()
        shown.started(cells[0])
        assert capsys.readouterr().err == ""
        now[0] += PLAIN_EVERY
        shown.at(cells[0], beat(5, None))
        shown.at(cells[0], beat(6, None))
        assert capsys.readouterr().err == "0 of 3 runs ended, 1 going on (50 % done)\n"


def test_a_terminal_has_a_bar(cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    made = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(several, "Console", lambda stderr: made)
    with Several(How("cpu"), debug=False) as shown:
        shown.planned(cells, [])
        shown.started(cells[0])
        shown.at(cells[0], beat(5, 8.0))
        assert shown._bar is not None and shown._bar.tasks[0].completed == 0.5
        shown._bar.refresh()
    assert "0 of 3 runs ended, 1 going on (50 % done), 8 img/s" in screen.getvalue()
