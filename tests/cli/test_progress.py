import io
import re
import time

import numpy as np
import pytest
from rich.console import Console

from clbench.cli import progress
from clbench.cli.progress import BAR_EVERY, LOSS_EVERY, PLAIN_EVERY, RunProgress
from clbench.learning.listener import Evaluation
from clbench.scenario.samples import Samples

SAMPLES = Samples(np.arange(4), np.zeros((4, 2), np.uint8), np.ones((4, 2), np.bool_))
EVALUATION = Evaluation(np.zeros((1, 2), np.float32), None, 12.34, 5.67)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its last number is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[-1])
    return now


def test_plain_lines_come_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress("debug/er seed 0") as shown:
        shown.task_started(1, 3, 100)
        for step in range(LOSS_EVERY + 10):
            clock.append(clock[-1] + 1.0)
            shown.stepped(1, step, {"loss": 0.25 if step == LOSS_EVERY - 1 else 9.0}, SAMPLES)
        shown.evaluated(1, EVALUATION)
    out, err = capsys.readouterr()
    assert (
        not out
        and PLAIN_EVERY == 30.0
        and err.splitlines()
        == [
            "debug/er seed 0: task 2/3: step 30/100, 4 img/s, 70 s left",
            "debug/er seed 0: task 2/3: step 60/100, 4 img/s, loss 0.250, 40 s left",
            "debug/er seed 0: task 2/3: trained 12.3 s, evaluated 5.7 s",
        ]
    )


def test_what_is_left_of_the_list_is_told_with_what_is_left_of_the_run(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with RunProgress("x", lambda seconds: f"{seconds + 100:.0f} s of 3 runs") as shown:
        shown.task_started(1, 4, 60)
        for step in range(60):
            clock.append(clock[-1] + 1.0)
            shown.stepped(1, step, {"loss": 0.25}, SAMPLES)
    assert capsys.readouterr().err.splitlines() == [
        # a quarter of the run and its first step were before the first look; a step is 1/240 of it, and a second
        "x: task 2/4: step 30/60, 4 img/s, 30 s left; 250 s of 3 runs left",
        "x: task 2/4: step 60/60, 4 img/s, loss 0.250, 0 s left; 220 s of 3 runs left",
    ]


def test_maps_are_shown_at_their_first_and_last_block(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress("x") as shown:
        for done in range(1, 5):
            clock.append(clock[-1] + (31.0 if done == 3 else 1.0))
            shown.features(done, 4)
    assert capsys.readouterr().err.splitlines() == [f"x: features, block {done}/4" for done in (1, 3, 4)]


def test_a_terminal_has_two_lines_that_go_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=80, color_system=None)
    )
    with RunProgress("debug/er (memory=prs, lr=0.0005) seed 0", lambda seconds: "12 min of 3 runs") as shown:
        shown.features(1, 2)
        shown.task_started(0, 3, 10)
        shown.stepped(0, 0, {"loss": 1.0}, SAMPLES)
        time.sleep(BAR_EVERY)
        shown.stepped(0, 1, {"loss": 1.0}, SAMPLES)
        shown.evaluated(0, EVALUATION)
        assert shown._bar is not None
        shown._bar.refresh()
    lines = re.split(r"[\r\n]|\x1b\[[\d?]*[A-Za-z]", screen.getvalue())
    assert any(line.startswith("debug/er (memory=prs, lr=0.0005) seed 0") and "1/10, " in line for line in lines)
    assert "task 1/3" in screen.getvalue() and any("2/10, " in line for line in lines)
    assert any(line.rstrip().endswith("12 min of 3 runs left") and "img/s" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert "evaluated" not in screen.getvalue()
    assert shown._bar.live.is_started is False
