"""Where in a run, and on which line of a plugin, an exception was raised: noted on the exception itself."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from clbench.errors import ClbenchError
from clbench.learning.strategy import Strategy

BEGINS = "at "
"""What such a note begins with."""
OURS = ("clbench.", "strategies.")


@contextmanager
def placed(strategy: Strategy, task: int, step: int | None = None) -> Iterator[None]:
    """Notes `at mine.py:9, task 1, step 1` on what is raised within: people count from 1.

    task, step: from 0; step is None outside of the steps of a task.
    What clbench raises on purpose says itself what it has to.
    """
    try:
        yield
    except ClbenchError:
        raise
    except Exception as error:
        at_step = "" if step is None else f", step {step + 1}"
        error.add_note(f"{BEGINS}{_line(error, strategy)}, task {task + 1}{at_step}")
        raise


def place_of(error: BaseException) -> str:
    """The note on an exception; empty where there is none."""
    return next((note for note in getattr(error, "__notes__", ()) if note.startswith(BEGINS)), "")


def _line(error: Exception, strategy: Strategy) -> str:
    """The innermost line of a plugin in this run, not ours if there is one; else the line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    modules = [type(plugin).__module__ for plugin in (strategy, strategy.memory, strategy.model.head)]
    for known in ([module for module in modules if not module.startswith(OURS)], modules):
        files = {getattr(sys.modules.get(module), "__file__", None) for module in known}
        for frame in reversed(frames):
            if frame.filename in files:
                return _short(frame)
    return _short(frames[-1])


def _short(frame: traceback.FrameSummary) -> str:
    return f"{os.path.basename(frame.filename)}:{frame.lineno}"
