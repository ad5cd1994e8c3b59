import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from cells24 import CELLS, CPU, TABLE, bits, has_checkpoint, specs, wait_for_checkpoint
from once import once
from scripted import ScriptedWorkers, debug

from clbench.errors import ClbenchError, UsageError
from clbench.launch import local, process
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Workers, launcher
from clbench.launch.local import choose_devices, cores
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.running.stops import Requests, Stopped
from clbench.store import heartbeat
from clbench.store.folder import Run, find_runs, finished
from clbench.store.heartbeat import Heartbeat

MUTE = LaunchListener()
NOW = "2026-01-01T00:00:00+00:00"


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


class Diary(LaunchListener):
    """What is said of each seed."""

    def __init__(self) -> None:
        self.of: dict[int, list[str]] = {}
        self.messages: list[str] = []

    def said(self, message: str) -> None:
        self.messages.append(message)

    def started(self, cell: Cell) -> None:
        self._note(cell, "started")

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        assert run.folder == cell.folder and seconds > 0
        self._note(cell, "done")

    def done_already(self, cell: Cell, run: Run) -> None:
        assert run.folder == cell.folder
        self._note(cell, "already")

    def left(self, cell: Cell, error: Exception) -> None:
        self._note(cell, f"left: {error}")

    def failed(self, failure: Failure) -> None:
        self.of.setdefault(failure.spec.seed, []).append(f"failed: {failure.error}")

    def _note(self, cell: Cell, what: str) -> None:
        self.of.setdefault(cell.spec.seed, []).append(what)


def scripted(monkeypatch: pytest.MonkeyPatch, **acts: str) -> ScriptedWorkers:
    """acts: `s` and the seed -> words, one for each time."""
    team = ScriptedWorkers({int(seed[1:]): words.split() for seed, words in acts.items()})
    monkeypatch.setattr(local, "WorkerProcess", team)
    return team


def test_each_run_has_a_worker_until_it_is_done_or_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = scripted(monkeypatch, s1="dies", s2="dies dies", s3="busy", s4="short", s5="short short", s6="breaks")
    [done] = run_all(debug(tmp_path, 7), CPU, listener=MUTE).runs
    diary = Diary()
    begun = done.folder.with_name("seed2")
    shutil.copytree(done.folder, begun)
    for name in ("SHA256SUMS", "metrics.json"):  # as a process that is killed leaves it
        (begun / name).unlink()
    again = debug(tmp_path, 0, memory=None)  # the same run, in other words
    listed = [*debug(tmp_path, *range(8)), *again]
    outcome = launcher("local", Workers(2))(listed, CPU, listener=diary)

    assert diary.of[0] == ["started", "done", "already"] and diary.of[1] == ["started", "done"]
    killed = "Expected the process of this run to live but it ended with code 7, and so did the one before it; if the "
    killed += "machine has too little memory use fewer --jobs or a smaller --set batch_size."
    assert diary.of[2] == [f"failed: {killed}"]
    assert diary.of[3] == ["left: another process has it", "started", "done"]
    assert diary.of[4] == ["started", "done"]
    short = "out of memory: nothing left; try a smaller --set batch_size or eval_batch_size"
    assert diary.of[5] == [f"failed: {short}"]
    assert diary.of[6] == ["failed: KeyError: 'x'"] and diary.of[7] == ["already"]
    ends = "its process ended with code 7; another one goes on with it", "it is tried once more in the end, alone"
    gone, alone = ([message for message in diary.messages if message.endswith(end)] for end in ends)
    assert [message.partition(":")[0] for message in gone] == ["debug/finetune seed 1", "debug/finetune seed 2"]
    assert [message.partition(":")[0] for message in alone] == ["debug/finetune seed 4", "debug/finetune seed 5"]
    assert diary.messages.count("it dies") == 3 and len(diary.messages) == 7

    assert sorted(run.seed for run in outcome.runs) == [0, 0, 1, 3, 4, 7] and not outcome.busy and outcome.stop is None
    assert sorted(failure.spec.seed for failure in outcome.failures) == [2, 5, 6]
    lost = next(failure for failure in outcome.failures if failure.spec.seed == 2)
    assert lost.folder == begun and Run(begun).status["reason"] == killed
    assert [len(team.runs(seed)) for seed in range(8)] == [2, 2, 2, 2, 2, 2, 1, 0]
    [told] = team.runs(6)
    assert told["run"]["config_hash"] == done.config_hash and told["how"]["device"] == "cpu"
    assert told["how"]["schedule"]["steps"] == 30 and not told["how"]["rerun"]
    assert {worker.device for worker in team.workers} == {"cpu"} and all(each.ended for each in team.workers)
    assert len(team.workers) == 2 + 3 + 2  # two at once, one for each that died, one for each that was tried alone


def test_what_another_has_until_the_end_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team, diary = scripted(monkeypatch, s0="busy busy"), Diary()
    outcome = launcher("local", Workers(1))(debug(tmp_path, 0, 1), CPU, listener=diary)
    [busy] = outcome.busy
    assert (busy.spec.seed, str(busy.error), len(team.runs(0))) == (0, "another process has it", 2)
    assert busy.folder == outcome.runs[0].folder.with_name("seed0") and [run.seed for run in outcome.runs] == [1]


def test_a_run_that_is_done_again_begins_afresh_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies before it begins has removed nothing; one that dies later leaves what another goes on from."""
    run_all(debug(tmp_path, 0, 1), CPU, listener=MUTE)
    team, diary = scripted(monkeypatch, s0="dies", s1="begins"), Diary()
    how = replace(CPU, rerun=True)
    outcome = launcher("local", Workers(1))(debug(tmp_path, 0, 1), how, listener=diary)
    assert [told["how"]["rerun"] for told in team.runs(0)] == [True, True]
    assert [told["how"]["rerun"] for told in team.runs(1)] == [True, False]
    assert diary.of == {0: ["started", "done"], 1: ["already"]} and len(outcome.runs) == 2


def test_a_stop_is_passed_on_and_ends_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team, requests = scripted(monkeypatch), Requests()

    class Stops(Diary):
        def done(self, cell: Cell, run: Run, seconds: float) -> None:
            super().done(cell, run, seconds)
            requests.ask_for_checkpoint()
            requests.ask_to_stop(Stopped("stopped by --max-time", 75))

    outcome = launcher("local", Workers(1))(debug(tmp_path, 0, 1), CPU, listener=Stops(), requests=requests)
    assert outcome.stop and (str(outcome.stop), outcome.stop.exit_code) == ("stopped by --max-time", 75)
    assert [run.seed for run in outcome.runs] == [0] and not team.runs(1) and not outcome.failures
    assert {"stop": ["stopped by --max-time", 75]} in [message for _, message in team.told]
    assert {"checkpoint": True} in [message for _, message in team.told]


def test_each_heartbeat_of_a_run_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [done] = run_all(debug(tmp_path, 1), CPU, listener=MUTE).runs
    scripted(monkeypatch, s0="slow")
    monkeypatch.setattr(local, "LOOK", 0.01)
    folder, beats = done.folder.with_name("seed0"), list[tuple[int, int]]()

    def beat(number: int) -> None:
        folder.mkdir(exist_ok=True)
        found = Heartbeat(1, 3, 2, 4, 2, 12, host="here", pid=7, since=NOW, at=NOW, beat=number)
        (folder / "new.json").write_text(json.dumps(asdict(found)))
        (folder / "new.json").replace(folder / heartbeat.FILE)

    class Hears(LaunchListener):
        def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
            beats.append((cell.spec.seed, heartbeat.beat))
            beat(8)

        def said(self, message: str) -> None:
            assert message == "it goes on"
            beat(7)

    outcome = launcher("local", Workers(2))(debug(tmp_path, 0), CPU, listener=Hears())
    assert beats == [(0, 7), (0, 8)] and len(outcome.runs) == 1


def test_workers_that_do_not_start_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(
        ClbenchError,
        match="3 in a row did not, and the last ended with code 3; see what they said",
    ):
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
