import os
import signal
import sys
from queue import SimpleQueue
from typing import Any

import pytest

from clbench.launch import process
from clbench.launch.process import WorkerProcess

ECHO = """
import json, os, sys
print(json.dumps({"is": "ready", "device": sys.argv[1], "session": os.getsid(0), "path": sys.path}), flush=True)
for line in sys.stdin:
    print(line, end="", flush=True)
sys.exit(7)
"""
Heard = SimpleQueue[tuple[WorkerProcess, dict[str, Any] | None]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-P", "-c", ECHO))
    return SimpleQueue()


def start(heard: Heard) -> WorkerProcess:
    return WorkerProcess("cpu", lambda worker, message: heard.put((worker, message)))


def test_messages_go_there_and_come_back(heard: Heard) -> None:
    worker = start(heard)
    whose, message = heard.get()
    assert whose is worker and message is not None and message["device"] == "cpu"
    assert message["session"] == worker.pid != os.getsid(0)  # Ctrl-C does not reach it
    assert {entry for entry in sys.path if entry} <= set(message["path"])
    worker.tell(run={"scenario": "dé"})
    assert heard.get()[1] == {"run": {"scenario": "dé"}}
    assert worker.end() == "ended with code 7" and heard.get()[1] is None
    assert worker.end() == "ended with code 7"  # twice is once


def test_the_end_of_one_that_is_killed_is_heard(
    heard: Heard,
) -> None:
    worker = start(heard)
    heard.get()
    os.kill(worker.pid, signal.SIGKILL)
    assert heard.get() == (worker, None)
    worker.tell(run={})  # which nobody hears
    assert worker.end() == "was killed by SIGKILL"
