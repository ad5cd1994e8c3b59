import os
import signal
from pathlib import Path

from clbench.running.stops import Requests, parse_duration


def test_durations() -> None:
    assert [parse_duration(text) for text in ("2", "45s", "1.5h", "30m")] == [120, 45, 5400, 1800]


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        requests = Requests()
        with requests.listening():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
