import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from cells24 import CELLS, CPU, TABLE, bits, has_checkpoint, specs, wait_for_checkpoint
from once import once

from clbench.errors import ClbenchError, UsageError
from clbench.launch import process
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Workers, launcher
from clbench.launch.local import choose_devices, cores
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.store import heartbeat
from clbench.store.folder import Run, find_runs, finished

MUTE = LaunchListener()


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bits of the 24 runs, one after another in one process."""

    def make(out: Path) -> None:
        assert len(run_all(specs(out), CPU, listener=MUTE).runs) == CELLS

    return bits(once(tmp_path_factory, "24-runs", make))


class Kills(LaunchListener):
    """Kills the workers of the first runs that begin, so many, once each has a checkpoint."""

    def __init__(self, runs: int) -> None:
        self.to_kill = runs
        self.ends: Counter[str] = Counter()
        self.messages: list[str] = []

    def started(self, cell: Cell) -> None:
        if self.to_kill and not has_checkpoint(cell.folder):  # or it goes on
            self.to_kill -= 1
            wait_for_checkpoint(cell.folder)
            beat = heartbeat.read(cell.folder)
            assert beat is not None
            os.kill(beat.pid, signal.SIGKILL)

    def said(self, message: str) -> None:
        self.messages.append(message)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.ends[str(cell)] += 1


@pytest.mark.slow
def test_24_runs_whose_workers_are_killed_are_each_done_once_and_to_the_same_bits(
    tmp_path: Path, serial: dict[str, str]
) -> None:
    kills = Kills(3)
    carry_out = launcher("local", Workers(devices=("cpu", "cpu")))
    outcome = carry_out(specs(tmp_path), CPU, listener=kills)
    assert not outcome.failures and not outcome.busy and outcome.stop is None
    assert len({run.folder for run in outcome.runs}) == CELLS
    assert kills.ends == Counter(dict.fromkeys(kills.ends, 1)) and len(kills.ends) == CELLS
    assert sum("was killed by SIGKILL; another one goes on with it" in said for said in kills.messages) == 3
    assert sum("going on after step" in said for said in kills.messages) == 3
    assert bits(tmp_path) == serial
    already = carry_out(specs(tmp_path), CPU, listener=MUTE)  # which starts no worker
    assert len(already.runs) == CELLS


@pytest.mark.slow
def test_two_launchers_without_flock_share_24_runs_though_three_workers_are_killed(
    tmp_path: Path, serial: dict[str, str]
) -> None:
    (tmp_path / "t.toml").write_text(TABLE)
    environment = {**os.environ, "CLBENCH_LOCK": "lease", "CLBENCH_LEASE_S": "6"}
    command = [sys.executable, "-m", "clbench", "sweep", "t.toml", "--jobs", "2", "--checkpoint-steps", "30"]
    files = [open(tmp_path / f"{number}.err", "w+") for number in range(2)]
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=file, stdout=file) for file in files]
    out = tmp_path / "results" / "runs"
    killed = 0
    for pid in running(out, both):
        if killed < 3:
            killed += 1
            os.kill(pid, signal.SIGKILL)
    assert killed == 3 and {each.wait() for each in both} <= {0, 5}  # 5: the last runs were the other's
    said = "".join(Path(file.name).read_text() for file in files)
    for file in files:
        file.close()
    ends = Counter(line.partition(":")[0] for line in said.splitlines() if ": done in " in line)
    assert len(ends) == CELLS and set(ends.values()) == {1}, said
    assert bits(out) == serial
    assert not list(out.rglob(".seed0.lock")) and list(out.rglob(".seed0.lock.*"))  # leases


def running(out: Path, launchers: Sequence["subprocess.Popen[bytes]"]) -> Iterator[int]:
    """Processes of runs that have a checkpoint, each once, until the launchers have ended."""
    seen = set()
    while any(each.poll() is None for each in launchers):
        for file in out.glob("*/*/*/seed*/heartbeat.json"):
            beat = heartbeat.read(file.parent)
            if beat and beat.pid not in seen and has_checkpoint(file.parent) and not finished(file.parent):
                seen.add(beat.pid)
                with suppress(ProcessLookupError):
                    yield beat.pid
        time.sleep(0.01)


@pytest.mark.slow
def test_a_stop_reaches_every_worker_and_so_does_the_launchers_death(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(TABLE.replace("epochs = 30", "epochs = 3000"))
    command = [sys.executable, "-m", "clbench", "sweep", "t.toml", "--jobs", "2", "--checkpoint-steps", "30"]
    out = tmp_path / "results" / "runs"
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        sweep = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        workers = []
        for pid in running(out, [sweep]):
            workers.append(pid)
            if len(workers) == 2:
                sweep.send_signal(number)
                break
        assert sweep.wait() == code
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            time.sleep(0.01)  # those of a launcher that was killed end by themselves
        runs = list(find_runs(out))
        assert {run.state for run in runs} == {"interrupted"} and len(runs) == 2
        assert all(has_checkpoint(run.folder) for run in runs)
        assert {run.status["reason"] for run in runs} == {
            "stopped by SIGTERM" if code == 143 else "stopped, for the process that handed out the runs is gone"
        }


BAD = """
import os
import signal
from pathlib import Path

from clbench import Strategy

HERE = Path(__file__).parent


class Bad(Strategy):
    def losses(self, batch, replay):
        {act}
        return {{"loss": self.loss(batch)}}
"""
ACTS = {
    "dies": "os.kill(os.getpid(), signal.SIGKILL)",
    "short": "raise MemoryError('nothing left')",
    "once": "(HERE / 'tried').exists() or ((HERE / 'tried').touch(), bytearray(2**62))",
    "breaks": "raise RuntimeError('it broke')",
}


@pytest.mark.slow
def test_runs_that_kill_their_worker_or_find_no_memory(tmp_path: Path) -> None:
    for name, act in ACTS.items():
        (tmp_path / f"{name}.py").write_text(BAD.format(act=act))
    strategies = [*(str(tmp_path / f"{name}.py") for name in ACTS), "finetune"]
    heard, told = list[str](), list[Failure]()

    class Hears(LaunchListener):
        def said(self, message: str) -> None:
            heard.append(message)

        def failed(self, failure: Failure) -> None:
            told.append(failure)

    listed = [Spec("debug", strategy, out=tmp_path / "runs") for strategy in strategies]
    outcome = launcher("local", Workers(2))(listed, CPU, listener=Hears())
    assert {run.strategy for run in outcome.runs} == {"once", "finetune"} and told == outcome.failures
    failed = {failure.spec.strategy.rpartition("/")[2]: failure for failure in outcome.failures}
    assert set(failed) == {"dies.py", "short.py", "breaks.py"}
    states = {run.strategy: run for run in find_runs(tmp_path / "runs")}
    dies = states["dies"]
    assert dies.state == "failed" and dies.status["reason"] == str(failed["dies.py"].error)
    assert "but it was killed by SIGKILL, and so did the one before it; if the machine" in dies.status["reason"]
    assert states["short"].state == "failed" and failed["short.py"].no_memory
    assert sum("out of memory: nothing left" in line and "once more in the end, alone" in line for line in heard) == 1
    breaks = failed["breaks.py"]
    assert str(breaks).startswith("debug/breaks seed 0: RuntimeError: it broke at breaks.py:")
    assert str(breaks).endswith(f"; the traceback is in {breaks.folder}") and breaks.exit_code == 1


def test_workers_that_do_not_start_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(ClbenchError, match="Expected a worker process to start but 3 in a row did not.* code 3"):
        launcher("local", Workers(1))([Spec("debug", "finetune", out=tmp_path)], CPU, listener=MUTE)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", ("/no/such/program",))
    carry_out = launcher("local", Workers(1))
    for wrong in (Spec("debug", "err", out=tmp_path), Spec("debug", "er", settings={"lrr": 1}, out=tmp_path)):
        with pytest.raises(UsageError):
            carry_out([Spec("debug", "finetune", out=tmp_path), wrong], CPU, listener=MUTE)
    with pytest.raises(UsageError, match="Expected --device to be"):
        launcher("local", Workers(devices=("cpu", "tpu")))([], CPU, listener=MUTE)
    with pytest.raises(UsageError, match="Expected no --ask with --launcher local but got partition"):
        launcher("local", Workers(asked={"partition": "gpu"}))
    assert not carry_out([], CPU, listener=MUTE).runs


@pytest.mark.parametrize(
    ("workers", "device", "cards", "chosen"),
    [
        (Workers(3), "cpu", 0, ["cpu"] * 3),
        (Workers(), "auto", 0, ["auto"] * cores()),
        (Workers(), "auto", 2, ["cuda:0", "cuda:1"]),
        (Workers(3), "cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        (Workers(), "cuda:1", 2, ["cuda:1"] * cores()),
        (Workers(devices=("cuda:1", "cpu")), "auto", 2, ["cuda:1", "cpu"]),
        (Workers(3, ("cpu", "cuda:0")), "auto", 1, ["cpu", "cuda:0", "cpu"]),
    ],
    ids=str,
)
def test_workers_have_devices_in_turn(
    workers: Workers, device: str, cards: int, chosen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    assert choose_devices(workers, How(device)) == chosen
