"""What the command line says of an error that nobody foresaw."""

import os
import sys
import tempfile
import traceback

from clbench.errors import INTERNAL
from clbench.terminal import say


def unforeseen(error: Exception, debug: bool) -> int:
    """One sentence, and where the traceback was put; with `debug` the traceback itself. Returns the exit code."""
    if debug:
        traceback.print_exception(error)
        return INTERNAL
    said = (str(error) or type(error).__name__).splitlines()[0]
    where = _kept("".join(traceback.format_exception(error)))
    say(
        f"clbench: Expected no such error but got {type(error).__name__}: {said}; {where}. A plugin of your own may "
        "be at fault; else please report it."
    )
    return INTERNAL


def _kept(trace: str) -> str:
    """Where a traceback was put, in words."""
    try:
        file, name = tempfile.mkstemp(".txt", "clbench-traceback-")
        with open(file, "w", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(trace)
        return f"the traceback is in {name}"
    except OSError:
        return "--debug shows the traceback"


def heard_enough() -> None:
    """Whoever read standard output has gone, as `head` does: what is left goes nowhere, and that is no failure."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # there is no such file, as in a test
        pass
