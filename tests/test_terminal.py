import pytest

from clbench.terminal import say


def test_what_is_said_goes_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    say("one")
    say("two")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "one\ntwo\n")
