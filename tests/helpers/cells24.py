"""24 small runs, as a file of a sweep and as specifications, the bits that they leave, and what befalls launchers."""

import hashlib
import os
import signal
import time
from collections import Counter
from pathlib import Path

from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Launcher
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests
from clbench.store.folder import Run, find_runs, finished, run_name
from clbench.store.heartbeat import Heartbeat

CPU = How("cpu", Schedule(steps=30))

TABLE = """
scenario = "debug"
device = "cpu"
seed = "0..3"

[set]
epochs = 5

[[cells]]
strategy = "finetune"
set = {epochs = 60}

[[cells]]
strategy = ["ewc", "lwf"]

[[cells]]
strategy = "er"
memory = ["reservoir", "prs"]

[[cells]]
strategy = "dlfl"
memory = "reservoir"
"""
"""The first four take longer, so that they can be killed in the middle."""
CELLS = 24
LONG = 60
METHODS = (
    ("finetune", None, LONG),
    ("ewc", None, 5),
    ("lwf", None, 5),
    ("er", "reservoir", 5),
    ("er", "prs", 5),
    ("dlfl", "reservoir", 5),
)


def specs(out: Path) -> list[Spec]:
    """The runs of `TABLE`."""
    return [
        Spec("debug", strategy, memory, settings={"epochs": epochs}, seed=seed, out=out)
        for strategy, memory, epochs in METHODS
        for seed in range(4)
    ]


def bits(out: Path) -> dict[str, str]:
    """Run -> hash of its logits and its steps; every run is done."""
    found = {}
    for run in find_runs(out):
        assert run.state == "done", run.folder
        files = [run.folder / "events.jsonl", *sorted((run.folder / "logits").iterdir())]
        found[run_name(run)] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return found


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has one that is whole."""
    return any(each.name.isdecimal() for each in (folder / "checkpoint").glob("*"))


def wait_for_checkpoint(folder: Path) -> None:
    """Until a run has one, or is done."""
    while not has_checkpoint(folder) and not finished(folder):
        time.sleep(0.001)


class KillsOne(LaunchListener):
    """Kills the process of the first run of which it hears how far it is, once that has a checkpoint."""

    def __init__(self) -> None:
        self.killed, self.processes = 0, set[int]()
        self.ends: Counter[str] = Counter()
        self.messages: list[str] = []

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        self.processes.add(heartbeat.pid)
        if not self.killed:
            wait_for_checkpoint(cell.folder)
            self.killed = heartbeat.pid
            os.kill(heartbeat.pid, signal.SIGKILL)

    def said(self, message: str) -> None:
        self.messages.append(message)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.ends[str(cell)] += 1


def check_one_killed(carry_out: Launcher, folder: Path) -> KillsOne:
    """A launcher does the 24 runs, each once and to the bits of one process, though a process of its is killed."""
    run_all(specs(folder / "serial"), CPU, listener=LaunchListener())
    kills = KillsOne()
    outcome = carry_out(specs(folder / "runs"), CPU, listener=kills)
    assert kills.killed and not outcome.failures and not outcome.busy and outcome.stop is None
    assert len(outcome.runs) == CELLS == len(kills.ends) and set(kills.ends.values()) == {1}
    assert bits(folder / "runs") == bits(folder / "serial")
    return kills


class Stops(LaunchListener):
    """Asks the list to stop once a run goes on."""

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        wait_for_checkpoint(cell.folder)
        signal.raise_signal(signal.SIGTERM)


def check_stop_and_failure(carry_out: Launcher, out: Path) -> None:
    """A launcher passes on a stop, after which a run has a checkpoint, and what a run fails of."""
    long = [Spec("debug", "finetune", settings={"epochs": 4000}, out=out)]
    outcome = carry_out(long, CPU, listener=Stops(), requests=Requests())
    assert outcome.stop is not None and outcome.stop.exit_code == 143 and not outcome.failures
    [run] = find_runs(out)
    assert run.state == "interrupted" and has_checkpoint(run.folder)
    diverges = Spec("debug", "finetune", settings={"lr": 1e30, "optimizer": "sgd"}, out=out)
    outcome = carry_out([diverges], CPU, listener=LaunchListener())
    assert "Expected finite" in str(outcome.failures[0]) and outcome.failures[0].spec == diverges
