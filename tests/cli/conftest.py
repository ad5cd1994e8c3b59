import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from clbench.cli import common, main


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
        monkeypatch.setattr(common, "_debug", False)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
