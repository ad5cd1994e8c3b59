"""A process that carries out the runs it is given, one after another, for a launcher that has started it.

    python -m clbench.launch.worker [DEVICE]

Lines of JSON come on its standard input and go to its standard output; what it prints besides goes to standard error. A
scenario is built once for all of its runs. Where its input ends, its launcher is gone: it stops with a checkpoint.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

import torch

from clbench.launch.cells import Builder, Cell, LaunchListener, run_all
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.learning.engine import choose_device
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import Run

LEFT_ALONE = Stopped("stopped, for the process that handed out the runs is gone", 143)
"""As SIGTERM would."""


def how_as_json(how: How) -> dict[str, Any]:
    """Plain values, for another process."""
    return asdict(how)


def how_from_json(value: Mapping[str, Any]) -> How:
    """The inverse of `how_as_json`."""
    return How(**{**value, "schedule": Schedule(**value["schedule"])})


class Telling(LaunchListener):
    """Tells a launcher in another process what it needs to know of a run; the rest stands in its `Outcome`."""

    def __init__(self, to: IO[str]) -> None:
        self._to = to
        self._begun = False

    def tell(self, what: str, **more: Any) -> None:
        """One message."""
        with suppress(BrokenPipeError):  # a launcher that is gone is noticed otherwise
            self._to.write(json.dumps({"is": what, **more}) + "\n")
            self._to.flush()

    def said(self, message: str) -> None:
        self.tell("said", message=message)

    def started(self, cell: Cell) -> None:
        self._begun = False
        self.tell("started")

    def features(self, done: int, total: int) -> None:
        self._tell_begun()

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self._tell_begun()

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.tell("done", seconds=seconds)

    def done_already(self, cell: Cell, run: Run) -> None:
        self.tell("done_already")

    def _tell_begun(self) -> None:
        """Its folder is its own by now: what stood there of an earlier one is gone, or is what it goes on from."""
        if not self._begun:
            self._begun = True
            self.tell("begun")


class Given:
    """What a launcher says: runs to be carried out, and what is asked of the present one. Heard by a thread."""

    def __init__(self, heard: IO[bytes], requests: Requests) -> None:
        self._runs: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._heard, self._requests = heard, requests
        Thread(target=self._listen, name="clbench-launcher", daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """Waits for the next run; None where there are no more."""
        return self._runs.get()

    def _listen(self) -> None:
        for line in self._heard:
            message = json.loads(line)
            if "run" in message:
                self._runs.put(message)
            elif "stop" in message:
                self._requests.ask_to_stop(Stopped(*message["stop"]))
            else:
                self._requests.ask_for_checkpoint()
        self._requests.ask_to_stop(LEFT_ALONE)
        self._runs.put(None)


def carry_out(
    runs: Sequence[Mapping[str, Any]],
    how: Mapping[str, Any],
    listener: LaunchListener,
    requests: Requests,
    builder: Builder | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Plain specifications in, what became of them out; see `run_all`. What keeps a list from beginning fails it."""
    specs = [Spec.from_json(run) for run in runs]
    try:
        outcome = run_all(specs, how_from_json(how), listener=listener, requests=requests, builder=builder, again=again)
    except Exception as error:
        outcome = Outcome(failures=[Failure(spec, error) for spec in specs])
    return outcome.as_json()


def do_share(
    own: Sequence[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]], how: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """A job's work, by plain values: its own runs, then those of the rest that nobody has done and nobody has.

    seconds: until it stops with a checkpoint.
    """
    silent, requests = LaunchListener(), Requests(seconds)
    builder = Builder(silent)
    outcome = carry_out(own, how, silent, requests, builder)
    if outcome["stop"]:
        return outcome
    left = [failure["spec"] for failure in outcome["busy"]]
    others = carry_out([*rest, *left], {**how, "rerun": False}, silent, requests, builder, again=True)
    return {
        "runs": outcome["runs"] + others["runs"],
        "failures": outcome["failures"] + others["failures"],
        "busy": others["busy"],
        "stop": others["stop"],
    }


@cache
def _kept() -> Builder:
    """What this process has built, for the tasks that it is given one after another."""
    return Builder(LaunchListener())


def do_one(run: Mapping[str, Any], how: Mapping[str, Any]) -> dict[str, Any]:
    """A task's work, by plain values: one run. Another one of the same process finds its scenario built."""
    return carry_out([run], how, LaunchListener(), Requests(), _kept())


def main(device: str) -> None:
    """Carry out what is asked for until there is no more, or a stop."""
    heard, said = _apart()
    requests, telling = Requests(), Telling(said)
    if (chosen := choose_device(device)).index is not None:
        torch.cuda.set_device(chosen)  # or memory would be pinned through the first one
    given, builder = Given(heard, requests), Builder(telling)
    with requests.listening():  # between two runs as well: a signal must not cut a message
        telling.tell("ready")
        while message := given.next():
            outcome = carry_out([message["run"]], message["how"], telling, requests, builder)
            telling.tell("over", outcome=outcome)
            if outcome["stop"]:
                break


def _apart() -> tuple[IO[bytes], IO[str]]:
    """The launcher's ends of standard input and output; a plugin that reads finds nothing, and prints elsewhere.

    Without a buffer: a thread that waits in one cannot be left behind when the interpreter ends.
    """
    heard, said = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return heard, said


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto")
