import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from clbench.cli import main
from clbench.running.stops import Requests, Stopped

DEFAULT = Path(__file__).parents[2] / "shared" / "data"


class Result(NamedTuple):
    code: int
    out: str
    err: str


CommandLine = Callable[..., Result]


@pytest.fixture
def clbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """The command line in this process (torch takes seconds to import), in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["clbench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def stop_after() -> Callable[[int], Requests]:
    """Requests that let a run go on so many times, and then ask it to stop; they are asked after steps and tasks."""

    class Counting(Requests):
        def __init__(self, times: int) -> None:
            super().__init__()
            self._left = times

        def stop(self) -> Stopped | None:
            self._left -= 1
            return Stopped("stopped") if self._left < 0 else None

    return Counting


@pytest.fixture(scope="session")
def test_data() -> Path:
    """A folder with the official lists (`prs/`) and real COCO photographs (`coco-mini/`); see CONTRIBUTING.md."""
    folder = Path(os.environ.get("CLBENCH_TEST_DATA", DEFAULT))
    for needed in ("prs", "coco-mini"):
        if not (folder / needed).is_dir():
            pytest.skip(f"needs {needed}/ below the folder that CLBENCH_TEST_DATA names")
    return folder


@pytest.fixture(scope="session")
def _real_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from clbench.launch.run import run

    store = tmp_path_factory.mktemp("store")
    run("debug", "er", seeds=(0, 1), out=store)
    run("debug", "dlfl", out=store)
    run("debug", "joint", out=store)
    run("debug-incremental", "finetune", view="validation:0.4", out=store)
    run("debug-incremental", "er", out=store)
    return store


@pytest.fixture
def real_store(_real_store: Path, tmp_path: Path) -> Path:
    """A copy of a results folder of small runs of every kind: plain, label queries, a bound, a view, a growing head."""
    store = tmp_path / "real"
    shutil.copytree(_real_store, store)
    return store
