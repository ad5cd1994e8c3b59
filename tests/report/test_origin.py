import re

import pytest

from clbench import __version__
from clbench.errors import UsageError
from clbench.report import origin as module
from clbench.report.origin import CLOCK, Origin, origin, signed

MADE = Origin("2026-01-31 12:00 UTC", "1.2", "abc", "clbench report --out x")


def test_a_fixed_clock_makes_the_same_report_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLOCK, "1769860799")
    monkeypatch.setattr(module, "git_state", lambda folder: {"commit": "0123456789abcdef", "dirty": True})
    made = origin(["/usr/bin/clbench", "report", "--runs", "my runs"])
    assert made == Origin(
        "2026-01-31 11:59 UTC",
        __version__,
        "0123456789ab with uncommitted changes",
        "clbench report --runs 'my runs'",
    )
    monkeypatch.setattr(module, "git_state", lambda folder: None)
    other = origin(["/somewhere/clbench/__main__.py", "report"])
    assert (other.commit, other.command) == (None, "python -m clbench report")
    assert other.sentence == f"Made 2026-01-31 11:59 UTC with clbench {__version__}, by: python -m clbench report"


def test_the_clock_is_now_unless_it_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLOCK, raising=False)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", origin(["clbench"]).date)


@pytest.mark.parametrize("fixed", ["yesterday", "1e9", "9" * 30])
def test_a_clock_that_is_none_is_one_sentence(monkeypatch: pytest.MonkeyPatch, fixed: str) -> None:
    monkeypatch.setenv(CLOCK, fixed)
    with pytest.raises(UsageError, match=f"Expected {CLOCK} to be seconds since 1970 but got '{fixed}'"):
        origin(["clbench"])


def test_the_sentence_is_a_comment_where_the_format_has_one() -> None:
    said = "Made 2026-01-31 12:00 UTC with clbench 1.2, commit abc, by: clbench report --out x"
    assert MADE.sentence == said
    assert signed("body", "md", MADE) == f"<!-- {said} -->\n\nbody"
    assert signed("body", "tex", MADE) == f"% {said}\nbody"
    assert signed("body", "txt", MADE) == f"{said}\n\nbody"
    assert signed("a,b", "csv", MADE) == "a,b" and signed("body", "tex", None) == "body"


def test_a_command_cannot_leave_its_comment() -> None:
    odd = Origin("now", "1", None, "clbench report --scenario 'a-->\n\\input{b}\x1b[31m'")
    assert signed("body", "md", odd).count("-->") == 1
    for ending, lines in (("md", 3), ("tex", 2), ("txt", 3)):
        text = signed("body", ending, odd)
        assert len(text.splitlines()) == lines and "\x1b" not in text
