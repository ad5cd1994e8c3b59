import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import many_processes
import pytest
import torch
from forked import in_child
from times import TIMES

from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.scenario.samples import Samples
from clbench.store.folder import SUMS, Run, RunWriter, find_runs, finished
from clbench.store.lock import held

CommandLine = Callable[..., tuple[int, str, str]]
RUN = ("run", "--scenario", "debug", "--strategy", "er")


def only_run(folder: Path) -> Run:
    [run] = find_runs(folder)
    return run


def record(run: Run) -> list[bytes]:
    files = [run.folder / "events.jsonl", *sorted((run.folder / "logits").iterdir())]
    return [file.read_bytes() for file in files]


class At(Listener):
    """Does something to this process after a step."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self._left, self._act = step, act

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._left -= 1
        if not self._left:
            self._act()


def act_at(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Let every run of this process do something after so many steps."""
    from clbench.launch import cells
    from clbench.running.execute import execute

    def with_listener(*arguments: object, **options: object) -> Run:
        options["listeners"] = [*options["listeners"], At(step, act)]  # type: ignore[misc]
        return execute(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "execute", with_listener)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_the_next_step_and_the_same_command_goes_on(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    assert clbench(*RUN, "--out", "whole")[0] == 0
    with monkeypatch.context() as patch:
        act_at(patch, 3, lambda: os.kill(os.getpid(), number))
        got, out, err = clbench(*RUN)
    assert got == code and not out and "the same command goes on" in err
    run = only_run(tmp_path / "results" / "runs")
    assert run.state == "interrupted" and run.status["reason"] == f"stopped by {signal.Signals(number).name}"
    assert (run.folder / "checkpoint" / "3" / "MANIFEST.json").exists()
    got, out, err = clbench(*RUN)
    assert got == 0 and "going on after step 3" in err and "er" in out
    assert record(only_run(tmp_path / "results" / "runs")) == record(only_run(tmp_path / "whole"))
    assert not (run.folder / "checkpoint").exists() and only_run(tmp_path / "results" / "runs").state == "done"


@pytest.mark.slow
def test_resume_goes_on_with_a_run_or_with_all_of_a_store(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--set", "lr=0.01", "--set", "size=4", "--limit", "6", "--memory", "prs")
    assert clbench(*RUN, *options, "--out", "whole", "--seed", "0..1")[0] == 0
    for seed in ("0", "1"):
        with monkeypatch.context() as patch:
            act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
            assert clbench(*RUN, *options, "--seed", seed)[0] == 143
    first, second = find_runs(tmp_path / "results" / "runs")
    code, out, err = clbench("resume", str(first.folder))
    assert code == 0 and "going on after step 3" in err, err
    code, out, err = clbench("resume", "results/runs")
    assert code == 0 and len(out.splitlines()) == 2 + 1, err  # the other one alone
    wholes = list(find_runs(tmp_path / "whole"))
    assert [record(run) for run in (first, second)] == [record(run) for run in wholes]
    code, _, err = clbench("resume", "results/runs")
    assert code == 5 and "Expected interrupted runs below results/runs but found none" in err
    code, _, err = clbench("resume", str(first.folder))
    assert code == 5 and "but it is done" in err
    assert clbench("resume", "nowhere")[0] == 5


@pytest.mark.slow
def test_runs_with_class_orders_of_their_own_go_on(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("run", "--scenario", "debug-incremental", "--strategy", "er", "--set", "order=seed")
    assert clbench(*command, "--seed", "0..2", "--out", "whole")[0] == 0
    for seed in ("0", "1", "2"):
        with monkeypatch.context() as patch:
            act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
            assert clbench(*command, "--seed", seed)[0] == 143
    runs = list(find_runs(tmp_path / "results" / "runs"))
    code, _, err = clbench("resume", str(runs[0].folder))
    assert code == 0 and "going on after step 3" in err, err
    code, _, err = clbench("resume", "results/runs")
    assert code == 0 and err.count("going on after step 3") == 2, err
    wholes = list(find_runs(tmp_path / "whole"))
    assert [record(run) for run in runs] == [record(run) for run in wholes]
    assert [run.env["manifest"] for run in runs] == [run.env["manifest"] for run in wholes]
    assert len({run.env["manifest"]["hash"] for run in runs}) == 3 and len({run.folder.parent for run in runs}) == 1
    code, _, err = clbench(*command, "--seed", "0..2")
    assert code == 0 and err.count("done already") == 3


def test_max_time_stops_with_75(clbench: CommandLine, tmp_path: Path) -> None:
    code, _, err = clbench(*RUN, "--max-time", "0s")
    assert code == 75 and "stopped by --max-time" in err
    code, _, err = clbench(*RUN, "--max-time", "0.3s", "--set", "epochs=100000")
    assert code == 75
    run = only_run(tmp_path / "results" / "runs")
    assert run.state == "interrupted" and list((run.folder / "checkpoint").glob("*/MANIFEST.json"))
    code, _, err = clbench(*RUN, "--max-time", "soon")
    assert code == 2 and "Expected --max-time like 90 (minutes), 45s, 30m or 1.5h but got 'soon'." in err


@pytest.mark.slow
def test_a_run_killed_before_its_checksums_is_finished_nowhere_until_it_is_resumed(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status `done`, no SHA256SUMS, and the last checkpoint: one definition of finished for all four."""
    clbench(*RUN, "--out", "whole")
    text = RunWriter.text

    def killed(self: RunWriter, name: str, value: str) -> None:
        if name == SUMS:
            os.kill(os.getpid(), signal.SIGKILL)
        text(self, name, value)

    def die() -> None:
        monkeypatch.setattr(RunWriter, "text", killed)
        clbench(*RUN, "--out", "killed")

    assert in_child(die) == -signal.SIGKILL
    folder = only_run(tmp_path / "killed").folder
    assert json.loads((folder / "status.json").read_text())["state"] == "done" and not (folder / SUMS).exists()
    [row] = json.loads(clbench("report", "--runs", "killed", "--json")[1])["rows"]
    assert row["status"] == "1 interrupted" and not row["seeds"] and SUMS in row["reasons"]["0"]
    assert clbench("merge", "killed", "--out", "all")[0] == 5
    code, _, err = clbench("resume", "killed")
    assert code == 0 and "going on after step 4" in err
    assert record(only_run(tmp_path / "killed")) == record(only_run(tmp_path / "whole"))
    assert clbench("merge", "killed", "--out", "all")[0] == 0
    (folder / SUMS).unlink()
    code, _, err = clbench(*RUN, "--out", "killed")
    assert code == 0 and "done already" not in err and finished(folder)


def test_a_user_signal_checkpoints_and_the_run_goes_on(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    from clbench.store import checkpoint

    write = checkpoint.write

    def noted(folder: Path, step: int, *state: Any) -> None:
        written.append(step)
        write(folder, step, *state)

    monkeypatch.setattr(checkpoint, "write", noted)
    act_at(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert clbench(*RUN)[0] == 0
    assert written == [2, 3, 4]  # two ends of a task, and the signal
    assert only_run(tmp_path / "results" / "runs").state == "done"


@pytest.mark.slow
def test_checkpoints_by_steps_and_minutes(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from clbench.store import checkpoint

    written: list[int] = []
    monkeypatch.setattr(checkpoint, "write", lambda folder, step, *state: written.append(step))
    assert clbench(*RUN, "--checkpoint-steps", "1")[0] == 0
    assert clbench(*RUN, "--checkpoint-minutes", "0", "--rerun")[0] == 0
    assert clbench(*RUN, "--rerun")[0] == 0
    assert written == [1, 2, 2, 3, 4, 4, 5, 6] * 2 + [2, 4]


def test_rerun_starts_afresh(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        clbench(*RUN)
    code, _, err = clbench(*RUN, "--rerun")
    assert code == 0 and "going on" not in err


def test_a_checkpoint_of_something_else_is_refused(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        clbench(*RUN)
    folder = only_run(tmp_path / "results" / "runs").folder
    folder.rename(folder.with_name("seed1"))
    code, _, err = clbench(*RUN, "--seed", "1")
    assert code == 5 and "to be of seed 1 but it is of 0; start afresh with --rerun" in err


@pytest.mark.slow
def test_a_run_of_another_process_is_left_to_it(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*RUN, "--strategy", "finetune")
    busy = only_run_of(tmp_path, "er").folder
    with held(busy):
        code, out, err = clbench(*RUN, "--strategy", "finetune", "--rerun")
    assert code == 5 and "finetune" in out
    assert f"process {os.getpid()} on " in err and "has been running it since 20" in err
    assert clbench(*RUN, "--rerun")[0] == 0  # the lock of a process that is gone is free


def only_run_of(folder: Path, strategy: str) -> Run:
    return next(run for run in find_runs(folder / "results" / "runs") if run.strategy == strategy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "out of memory: CUDA out of memory; try a smaller"),
        (MemoryError(), "out of memory: MemoryError; try a smaller"),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory"), "out of memory: "),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full: "),
        (FileNotFoundError(errno.ENOENT, "gone", "a.jpg"), "FileNotFoundError: "),
    ],
)
def test_what_may_pass_is_recorded_and_the_next_run_goes_on(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    from strategies.er import ExperienceReplay

    observe = ExperienceReplay.observe
    steps: list[int] = []

    def broken(self: ExperienceReplay, batch: object) -> Values:
        steps.append(1)
        if len(steps) == 4:
            raise error
        return observe(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(ExperienceReplay, "observe", broken)
    code, out, err = clbench(*RUN, "--strategy", "finetune")
    assert code == 1 and "1 run(s) failed:" in err and "finetune" in out and "er" not in out
    run = only_run_of(tmp_path, "er")
    assert run.state == "failed" and run.status["reason"].startswith(reason)
    code, _, err = clbench(*RUN)
    assert code == 0 and "going on after step 2" in err


def test_divergence_says_where(clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from strategies.er import ExperienceReplay

    seen: list[list[int]] = []
    observe = ExperienceReplay.observe

    def broken(self: ExperienceReplay, batch: object) -> Values:
        seen.append(batch.samples.indices.tolist())  # type: ignore[attr-defined]
        values = observe(self, batch)  # type: ignore[arg-type]
        return {"loss": float("nan")} if len(seen) == 4 else values

    monkeypatch.setattr(ExperienceReplay, "observe", broken)
    code, out, _ = clbench(*RUN, "--checkpoint-steps", "1")
    run = only_run(tmp_path / "results" / "runs")
    assert code == 1 and not out and run.state == "diverged"
    assert run.status["at"] == {"task": 1, "step": 1, "lr": 0.001, "batch": seen[3]}
    assert not (run.folder / "checkpoint").exists() and not (run.folder / "metrics.json").exists()


@pytest.mark.slow
def test_many_processes_share_a_list_of_runs(tmp_path: Path) -> None:
    """24 runs offered to 8 processes, 3 of which are killed: each run is done once, none is lost."""
    seeds = 8 * TIMES
    arguments = ["run", "--scenario", "debug", "--strategy", "er,finetune,lwf", "--seed", f"0..{seeds - 1}", "--out"]
    arguments += [str(tmp_path / "runs"), "--set", "epochs=8"]
    subprocess.run([sys.executable, many_processes.__file__, str(tmp_path), *arguments], check=True)
    runs = list(find_runs(tmp_path / "runs"))
    assert len(runs) == 3 * seeds and all(run.state == "done" for run in runs)
    said = "".join((tmp_path / f"{number}.err").read_text() for number in range(many_processes.PROCESSES + 1))
    done = [line.partition(": done in ")[0] for line in said.splitlines() if ": done in " in line]
    assert len(done) == len(set(done)) <= len(runs)
    for run in runs:
        events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
        assert sum(event["event"] == "evaluated" for event in events) == 3
        assert sum(event["event"] == "step" for event in events) == 3 * 2 * 8


@pytest.mark.slow
def test_killed_for_good_and_resumed_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clbench", *RUN, "--set", "epochs=40", "--checkpoint-steps", "5", "--out"]
    assert subprocess.run([*command, "whole"], cwd=tmp_path, capture_output=True).returncode == 0
    process = subprocess.Popen([*command, "killed"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(file.parent.name.isdecimal() for file in (tmp_path / "killed").glob("**/MANIFEST.json")):
            break  # a whole checkpoint: one that is being written has another name
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert only_run(tmp_path / "killed").state == "running"
    done = subprocess.run(
        [sys.executable, "-m", "clbench", "resume", "killed"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "going on after step" in done.stderr, done.stderr
    assert record(only_run(tmp_path / "killed")) == record(only_run(tmp_path / "whole"))


def test_a_run_of_a_file_goes_on_with_it_and_refuses_another(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    text = '"""Mine."""\nfrom clbench import Strategy\n\nclass Mine(Strategy):\n    pass\n'
    file.write_text(text)
    with monkeypatch.context() as patch:
        act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        code, _, _ = clbench("run", "--scenario", "debug", "--strategy", "./mine.py")
    run = only_run(tmp_path / "results" / "runs")
    assert code == 143 and run.state == "interrupted"
    file.write_text(text + "\n")
    code, _, err = clbench("resume", "results/runs")
    assert code == 5 and f"Expected {file} to be as it was when" in err and "plugin/strategy/mine.py" in err
    file.write_text(text)
    assert clbench("resume", "results/runs")[0] == 0
    assert Run(run.folder).state == "done"
