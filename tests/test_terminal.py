import sys

import pytest

from clbench.terminal import PIPED, say, width


def test_what_is_said_goes_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    say("one")
    say("two")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "one\ntwo\n")


@pytest.mark.parametrize(("terminal", "columns", "expected"), [(True, 132, 132), (True, 5, 40), (False, 132, PIPED)])
def test_a_pipe_has_80_columns(monkeypatch: pytest.MonkeyPatch, terminal: bool, columns: int, expected: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert width() == expected
