import io
import json
import os
from pathlib import Path

import pytest

from clbench.errors import DataError
from clbench.launch.cells import LaunchListener
from clbench.launch.outcome import Outcome
from clbench.launch.spec import Spec
from clbench.launch.worker import Given, Telling, carry_out, how_as_json, how_from_json
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests, Stopped


def test_how_goes_there_and_back() -> None:
    how = How("cuda:1", Schedule(2.5, 7), 3, rerun=True)
    assert how_from_json(json.loads(json.dumps(how_as_json(how)))) == how


def test_runs_go_in_and_what_became_of_them_comes_out(tmp_path: Path) -> None:
    to = io.StringIO()
    runs = [Spec("debug", "finetune", out=tmp_path).as_json(), Spec("debug", "er", out=tmp_path).as_json()]
    for first in (True, False):
        outcome = json.loads(json.dumps(carry_out(runs, how_as_json(How("cpu")), Telling(to), Requests())))
        assert [run.strategy for run in Outcome.from_json(outcome).runs] == ["finetune", "er"]
        told = [json.loads(line)["is"] for line in to.getvalue().splitlines()]
        assert told == (["started", "begun", "done"] * 2 if first else ["done_already"] * 2)
        to.seek(0)
        to.truncate()


def test_what_is_asked_for_stops_a_list(tmp_path: Path) -> None:
    requests = Requests()
    requests.ask_to_stop(Stopped("stopped by --max-time", 75))
    runs = [Spec("debug", "finetune", out=tmp_path).as_json()]
    outcome = Outcome.from_json(carry_out(runs, how_as_json(How("cpu")), LaunchListener(), requests))
    assert outcome.stop and outcome.stop.exit_code == 75 and not outcome.runs


def test_what_keeps_runs_from_beginning_fails_them(tmp_path: Path) -> None:
    runs = [Spec("debug", "no-such-strategy", out=tmp_path).as_json()] * 2
    outcome = Outcome.from_json(carry_out(runs, how_as_json(How("cpu")), LaunchListener(), Requests()))
    assert [failure.exit_code for failure in outcome.failures] == [2, 2] and not outcome.runs
    assert "Unknown strategy 'no-such-strategy'" in str(outcome.failures[0])


def test_what_is_said_of_a_run_is_passed_on() -> None:
    to = io.StringIO()
    Telling(to).said("its disk is full")
    assert json.loads(to.getvalue()) == {"is": "said", "message": "its disk is full"}


def test_a_launcher_that_is_gone_is_told_nothing() -> None:
    ear, mouth = os.pipe()
    os.close(ear)
    with open(mouth, "w") as to:
        telling = Telling(to)
        telling.said("anything")
        os.dup2(os.open(os.devnull, os.O_WRONLY), mouth)  # what it could not write goes there


@pytest.mark.parametrize("left", [False, True])
def test_what_a_launcher_asks_for(left: bool) -> None:
    ear, mouth = os.pipe()
    requests = Requests()
    with open(ear, "rb", 0) as heard, open(mouth, "w") as to:
        given = Given(heard, requests)
        lines = [{"run": {"scenario": "debug"}}, {"checkpoint": True}, {"stop": ["stopped by --max-time", 75]}]
        to.writelines(json.dumps(line) + "\n" for line in (lines[:1] if left else lines))
        to.flush()
        assert given.next() == lines[0]
        to.close()
        assert given.next() is None
    stop = requests.stop()
    assert isinstance(stop, Stopped) and requests.take_checkpoint() is not left
    if left:
        assert stop.exit_code == 143 and "the process that handed out the runs is gone" in str(stop)


def test_an_error_says_the_same_in_another_process(tmp_path: Path) -> None:
    """Of data that are not there, which nobody but the builder knows."""
    spec = Spec("coco-seq", "er", data_root=tmp_path, settings={"splits": "rule"}, out=tmp_path)
    outcome = carry_out([spec.as_json()], how_as_json(How("cpu")), LaunchListener(), Requests())
    [failure] = Outcome.from_json(outcome).failures
    assert failure.exit_code == DataError.exit_code and failure.folder is None and failure.foreseen
