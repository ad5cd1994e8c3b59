import errno
import os
import pickle
import signal
import time
from pathlib import Path

import pytest
import torch

from clbench.errors import ClbenchError, DataError, UsageError
from clbench.learning.engine import Engine
from clbench.running.stops import OUT_OF_TIME, Agreed, Requests, Stopped, parse_duration, passing, reason


def test_durations() -> None:
    assert [parse_duration(text) for text in ("2", "45s", "1.5h", "30m")] == [120, 45, 5400, 1800]


@pytest.mark.parametrize("text", ["", "soon", "-1", "1d", "1e3", "٣"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="Expected --max-time like"):
        parse_duration(text)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        requests = Requests()
        with requests.listening():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_handlers_are_given_back(number: int, code: int) -> None:
    requests, before = Requests(), signal.getsignal(number)
    with requests.listening():
        assert requests.stop() is None
        signal.raise_signal(number)
        stop = requests.stop()
    assert signal.getsignal(number) is before
    assert stop is not None and (str(stop), stop.exit_code) == (f"stopped by {signal.Signals(number).name}", code)


def test_a_checkpoint_is_asked_for_once() -> None:
    requests = Requests()
    with requests.listening():
        signal.raise_signal(signal.SIGUSR1)
    assert (requests.take_checkpoint(), requests.take_checkpoint()) == (True, False)
    assert requests.stop() is None


def test_time_is_up_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    requests = Requests(10.0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 9.0)
    assert requests.stop() is None
    monkeypatch.setattr(time, "monotonic", lambda: now + 11.0)
    stop = requests.stop()
    assert stop is not None and (str(stop), stop.exit_code) == ("stopped by --max-time", OUT_OF_TIME)


def test_a_stop_can_be_sent_to_another_process() -> None:
    back = pickle.loads(pickle.dumps(Stopped("stopped by SIGINT", 130)))
    assert (str(back), back.exit_code) == ("stopped by SIGINT", 130)


@pytest.mark.parametrize(
    ("error", "sentence", "passes"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory\nmore"), "out of memory: CUDA out of memory; try", True),
        (MemoryError(), "out of memory: MemoryError; try a smaller --set batch_size or eval_batch_size", True),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory"), "out of memory: [enforce]", True),
        (OSError(errno.ENOSPC, "No space left"), "disk full: [Errno 28] No space left; make room", True),
        (OSError(errno.EIO, "broken"), "OSError: [Errno 5] broken", True),
        (DataError("gone"), "gone", True),
        (ClbenchError("of ours"), "of ours", False),
        (RuntimeError("first\nsecond"), "RuntimeError: first", False),
        (KeyError(), "KeyError: KeyError", False),
    ],
)
def test_failures_in_words(error: Exception, sentence: str, passes: bool) -> None:
    assert reason(error).startswith(sentence) and "\n" not in reason(error)
    assert passing(error) is passes


class Others(Engine):
    """Another process was asked to stop with this exit code."""

    def __init__(self, code: int) -> None:
        self.code, self.waited = code, False

    def largest(self, number: int) -> int:
        return max(self.code, number)

    def wait(self) -> None:
        self.waited = True


@pytest.mark.parametrize(
    ("code", "says"), [(75, "stopped by --max-time"), (130, "stopped by SIGINT"), (143, "stopped by SIGTERM")]
)
def test_what_another_process_is_asked_stops_this_one(code: int, says: str) -> None:
    others = Others(code)
    agreed = Agreed(Requests(), others)
    stop = agreed.stop()
    assert agreed.pending() and stop is not None and (str(stop), stop.exit_code) == (says, code)
    agreed.settled()
    assert others.waited


def test_what_this_process_is_asked_stops_it_and_without_it_nothing_does() -> None:
    own = Requests()
    agreed = Agreed(own, Others(0))
    assert agreed.stop() is None and not agreed.take_checkpoint()
    with own.listening():
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
    assert agreed.take_checkpoint() and str(agreed.stop()) == "stopped by SIGTERM"
