"""Standard error, where a person is told what happens; standard output is data."""

import sys


def say(line: str) -> None:
    """A line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)
