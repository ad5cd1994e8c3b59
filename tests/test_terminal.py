import sys

import pytest

from clbench.terminal import PIPED, duration, printable, say, width


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ünïcode 日本 🙂\n\tnext", "plain – ünïcode 日本 🙂\n\tnext"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J\x07\r", r"\x9b2J\x07\r"),
        ("a\u202eb", r"a\u202eb"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(text) == shown
    say(text)
    assert capsys.readouterr().err == shown + "\n"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 s"),
        (89.4, "89 s"),
        (89.6, "1.5 min"),
        (12 * 60, "12 min"),
        (89 * 60, "89 min"),
        (91 * 60, "1.5 h"),
        (35.9 * 3600, "36 h"),
        (3 * 86400, "3.0 d"),
        (1e9, "11574 d"),
    ],
)
def test_a_time_is_told_in_the_unit_that_suits_it(seconds: float, told: str) -> None:
    assert duration(seconds) == told
