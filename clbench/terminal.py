"""Standard error, where a person is told what happens; standard output is data."""

import shutil
import sys

PIPED = 80
"""Columns of what does not go to a terminal."""


def say(line: str) -> None:
    """A line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def width() -> int:
    """Columns of the terminal that standard output is, at least 40; `PIPED` where it is none."""
    return max(40, shutil.get_terminal_size((PIPED, 24)).columns) if sys.stdout.isatty() else PIPED
