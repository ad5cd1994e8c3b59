"""What makes a run stop early: signals and the clock, answered between two batches, and failures put into words."""

import errno
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from clbench.errors import ClbenchError, DataError, UsageError
from clbench.learning.engine import Engine
from clbench.learning.place import place_of

OUT_OF_TIME = 75
"""Exit code of a run that stopped because its time was up and that can go on: EX_TEMPFAIL of sysexits.h."""


class Stopped(ClbenchError):
    """A run that was asked to stop and did so after a checkpoint."""

    def __init__(self, message: str, exit_code: int = OUT_OF_TIME) -> None:  # a default, or it could not be unpickled
        super().__init__(message)
        self.exit_code = exit_code


class Requests:
    """What is asked of a run from outside. Handlers only note it; the run looks between two steps, and between two
    batches of an evaluation.

    seconds: how long from now until the time is up; None for no limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._signal: int | None = None
        self._asked: Stopped | None = None
        self._checkpoint = False

    def pending(self) -> bool:
        """Whether the run is asked to stop."""
        return bool(self._asked or self._signal) or (self._deadline is not None and time.monotonic() >= self._deadline)

    def stop(self) -> Stopped | None:
        """Why the run has to stop now, if it has to."""
        if self._signal is not None:
            return Stopped(f"stopped by {signal.Signals(self._signal).name}", 128 + self._signal)
        if self._asked:
            return Stopped(str(self._asked), self._asked.exit_code)
        return Stopped("stopped by --max-time", OUT_OF_TIME) if self.pending() else None

    def ask_to_stop(self, stop: Stopped) -> None:
        """As a signal does, from any thread; `stop` says why."""
        self._asked = stop

    def ask_for_checkpoint(self) -> None:
        """As SIGUSR1 does, from any thread."""
        self._checkpoint = True

    def take_checkpoint(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        asked, self._checkpoint = self._checkpoint, False
        return asked

    def settled(self) -> None:
        """Called once all is written that is to be before the run stops."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop after the present batch, a second one at once; SIGUSR1 asks for a checkpoint."""
        handlers = {signal.SIGINT: self._on_stop, signal.SIGTERM: self._on_stop}
        if hasattr(signal, "SIGUSR1"):
            handlers[signal.SIGUSR1] = self._on_checkpoint
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + number)  # what is on the disk is whole at any moment
        self._signal = number

    def _on_checkpoint(self, number: int, frame: FrameType | None) -> None:
        self._checkpoint = True


class Agreed(Requests):
    """What is asked of any of several processes that share a run, so that all of them stop after the same step.

    own: what is asked of this one.
    """

    def __init__(self, own: Requests, engine: Engine) -> None:
        super().__init__()
        self._own, self._engine = own, engine

    def pending(self) -> bool:
        return True  # only together is it known

    def stop(self) -> Stopped | None:
        own = self._own.stop()
        code = self._engine.largest(own.exit_code if own else 0)
        if not code or (own and own.exit_code == code):
            return own
        by = "--max-time" if code == OUT_OF_TIME else signal.Signals(code - 128).name
        return Stopped(f"stopped by {by}", code)

    def take_checkpoint(self) -> bool:
        return self._own.take_checkpoint()

    def settled(self) -> None:
        self._engine.wait()  # or the others would be gone before the first has written the checkpoint


def parse_duration(text: str) -> float:
    """Seconds of `90` (minutes), `45s`, `30m` or `1.5h`. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", text.strip(), re.ASCII)
    if not match:
        raise UsageError(f"Expected --max-time like 90 (minutes), 45s, 30m or 1.5h but got {text!r}.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "": 60}[match[2]]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on the device or in the machine."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)


def reason(error: BaseException) -> str:
    """Why a run failed, in one line."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    if out_of_memory(error):
        return f"out of memory: {said}; try a smaller --set batch_size or eval_batch_size"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full: {said}; make room, then the same command goes on"
    if isinstance(error, ClbenchError):
        return str(error)
    return f"{type(error).__name__}: {said} {place_of(error)}".rstrip()


def passing(error: BaseException) -> bool:
    """Whether a failure is the machine's and may pass, so that the run can go on from its last checkpoint."""
    return out_of_memory(error) or isinstance(error, OSError | DataError)
