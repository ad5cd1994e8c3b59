"""A worker process as its launcher sees it; see `clbench.launch.worker` for the other end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

COMMAND = (sys.executable, "-P", "-m", "clbench.launch.worker")
"""-P: a file in the current folder must not stand in for one of Python's own."""


class WorkerProcess:
    """A worker on a device, which starts now.

    heard: is called with each of its messages, and with None when it has ended; from another thread.

    It is in a session of its own, so that Ctrl-C reaches its launcher alone, which stops it once and not twice.
    """

    def __init__(self, device: str, heard: Callable[["WorkerProcess", dict[str, Any] | None], None]) -> None:
        self.device = device
        imports = os.pathsep.join(entry for entry in sys.path if entry)  # what it imports is what this one would
        self._process = subprocess.Popen(
            [*COMMAND, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": imports},
            encoding="utf-8",
            start_new_session=True,
        )
        self._heard = heard
        self._thread = Thread(target=self._listen, name="clbench-worker", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **message: Any) -> None:
        """One message; one that is gone is heard of otherwise."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """At once: of one that has nothing yet."""
        self._process.kill()

    def leave(self) -> None:
        """Let it end, after a checkpoint where it has a run."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> str:
        """Wait until it has left; returns how, in words."""
        self.leave()
        code = self._process.wait()
        if self._thread.is_alive():
            self._thread.join()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as messages:
            for line in messages:
                self._heard(self, json.loads(line))
        self._heard(self, None)
