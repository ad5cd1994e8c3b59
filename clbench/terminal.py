"""Standard error, where a person is told what happens; standard output is data."""

import os
import re
import shutil
import sys

PIPED = 80
"""Columns of what does not go to a terminal."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys instead of showing it (all but tab and line feed), what turns the direction of a text, and
halves of letters, which no file takes: bytes of a name that is not UTF-8."""
SPANS = ((89.5, 1, "s"), (5400, 60, "min"), (129600, 3600, "h"), (float("inf"), 86400, "d"))
"""Seconds below which a unit is taken, those that it has, and its name."""


def printable(text: str) -> str:
    r"""The text with what a terminal would obey written out: `\x1b[2J`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(line: str) -> None:
    """A line on standard error, at once."""
    print(printable(line), file=sys.stderr, flush=True)


def width() -> int:
    """Columns of the terminal that standard output is, at least 40; `PIPED` where it is none."""
    return max(40, shutil.get_terminal_size((PIPED, 24)).columns) if sys.stdout.isatty() else PIPED


def hush() -> None:
    """From now on nothing is said: of several processes that share a run the first one speaks."""
    sys.stdout = sys.stderr = open(os.devnull, "w")


def speak_up() -> None:
    """What is said is heard again."""
    if sys.__stdout__ and sys.__stderr__:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def duration(seconds: float) -> str:
    """A time in a few letters: `59 s`, `1.5 min`, `12 min`, `3.4 h`, `12 d`."""
    size, unit = next((size, unit) for most, size, unit in SPANS if seconds < most)
    number = seconds / size
    return f"{number:.1f} {unit}" if number < 9.95 and unit != "s" else f"{number:.0f} {unit}"
