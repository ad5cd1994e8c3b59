import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.cli import inspect
from clbench.cli.failing import unforeseen

CommandLine = Callable[..., tuple[int, str, str]]


def broken(*_: object) -> None:
    raise KeyError("nokey\nand more")


def test_a_bug_is_one_sentence_and_a_traceback_in_a_file(
    clbench: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inspect, "list_runs", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, out, err = clbench("list", "runs")
    [file] = tmp_path.glob("clbench-traceback-*.txt")
    assert (code, out) == (70, "") and len(err.splitlines()) == 1
    assert err.startswith(
        f"clbench: Expected no such error but got KeyError: 'nokey\\nand more'; the traceback is in {file}"
    )
    assert "Traceback" in file.read_text() and "in broken" in file.read_text()
    code, _, err = clbench("list", "runs", "--debug")
    assert code == 70 and "Traceback" in err and "in broken" in err


def test_where_no_file_can_be_written_debug_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert unforeseen(ValueError(), False) == 70
    assert "got ValueError: ValueError; --debug shows the traceback." in capsys.readouterr().err


def test_an_interrupt_gives_130(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "list_runs", interrupted)
    code, _, err = clbench("list", "runs")
    assert code == 130 and "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["list"], ["show", "er"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_failure(arguments: list[str]) -> None:
    """`list | head -1`: the pipe is closed before, or while, it is written to."""
    command = [sys.executable, "-m", "clbench", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0


def test_the_help_names_every_exit_code(clbench: CommandLine) -> None:
    text = " ".join(clbench("--help")[1].split())
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, 3, 4, 5, 70, 75, 130, 143):
        assert f" {code} " in text and f"| {code} |" in readme
