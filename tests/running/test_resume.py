import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import KINDS

from clbench.errors import StoreError
from clbench.files import sha256
from clbench.learning.listener import Evaluation, Listener
from clbench.learning.trainer import Progress
from clbench.running import resume
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.recording import Recorder
from clbench.running.resume import Checkpointer, Saver, Schedule, WhilePreparing
from clbench.running.stops import Requests, Stopped
from clbench.scenario.samples import Samples
from clbench.store.folder import RunWriter

CPU = torch.device("cpu")
NO_SAMPLES = Samples(np.zeros(0, np.int64), np.zeros((0, 6), np.uint8), np.zeros((0, 6), np.bool_))
EVALUATION = Evaluation(np.zeros((1, 6), np.float32), None, 0.0, 0.0)
NEVER = Schedule(minutes=1e9)
StopAfter = Callable[[int], Requests]


def prepare(**settings: Any) -> Prepared:
    config = resolve("debug", "er", settings=settings)
    return Prepared(config, build_scenario(config))


def play(checkpointer: Checkpointer, tasks: int = 2, steps: int = 3) -> None:
    for task in range(tasks):
        checkpointer.task_started(task, tasks, steps)
        for step in range(steps):
            checkpointer.stepped(task, step, {}, NO_SAMPLES)
        checkpointer.evaluated(task, EVALUATION)


@pytest.mark.parametrize(
    ("schedule", "start", "written"),
    [
        (NEVER, 0, [3]),  # the end of a task, but of the last
        (NEVER, 10, [13]),
        (Schedule(1e9, steps=2), 0, [2, 3, 5]),  # counted from the last one, wherever it came from
        (Schedule(1e9, steps=1), 0, [1, 2, 3, 3, 4, 5, 6]),
        (Schedule(minutes=0.0), 0, [1, 2, 3, 3, 4, 5, 6]),
    ],
)
def test_when_checkpoints_are_written(schedule: Schedule, start: int, written: list[int]) -> None:
    found: list[int] = []
    play(Checkpointer(found.append, schedule, Requests(), start))
    assert found == written


def test_minutes_count_from_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    found: list[int] = []
    checkpointer = Checkpointer(found.append, Schedule(minutes=2.0), Requests())
    for now in (60.0, 119.0, 121.0, 200.0, 240.0, 242.0):
        clock.append(now)
        checkpointer.stepped(0, 0, {}, NO_SAMPLES)
    assert found == [3, 6]


def test_a_stop_comes_after_a_checkpoint() -> None:
    found: list[int] = []
    requests = Requests()
    checkpointer = Checkpointer(found.append, NEVER, requests)
    with requests.listening():
        checkpointer.stepped(0, 0, {}, NO_SAMPLES)
        signal.raise_signal(signal.SIGUSR1)
        checkpointer.stepped(0, 1, {}, NO_SAMPLES)
        assert found == [2]
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match="stopped by SIGTERM"):
            checkpointer.stepped(0, 2, {}, NO_SAMPLES)
    assert found == [2, 3]


def test_a_stop_while_maps_are_computed_writes_nothing() -> None:
    requests = Requests()
    preparing = WhilePreparing(requests)
    preparing.features(1, 2)
    preparing.features_ready(1.5)
    preparing.features_ready(2.0)
    assert preparing.seconds == 3.5
    with requests.listening(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
        preparing.features(2, 2)


def saved(folder: Path, prepared: Prepared, progress: Progress, identity: dict[str, Any]) -> torch.Tensor:
    """Writes the checkpoint of a strategy whose weights are returned."""
    strategy = build_strategy(prepared, 3, CPU)
    recorder = Recorder(RunWriter(folder))
    recorder.stepped(0, 0, {"loss": 1.0}, NO_SAMPLES)
    for task, evaluation in enumerate(progress.evaluations):
        recorder.evaluated(task, evaluation)
    Saver(recorder, strategy, progress, identity).save(5)
    return torch.cat([p.detach().flatten() for p in strategy.model.parameters()])


def test_where_a_run_is_comes_back(tmp_path: Path) -> None:
    prepared, said = prepare(), []  # type: ignore[var-annotated]
    evaluation = Evaluation(np.arange(54, dtype=np.float32).reshape(9, 6), 80.5, 1.25, 0.5, [1, 2, 0, 0, 0, 0])
    progress = Progress(1, 4, 2.5, [evaluation], 7.75)
    weights = saved(tmp_path, prepared, progress, {"seed": 3})
    torch.manual_seed(5)
    expected = torch.random.get_rng_state()
    saved(tmp_path, prepared, progress, {"seed": 3})
    torch.manual_seed(6)
    found = resume.latest(tmp_path, {"seed": 3}, CPU, said.append)
    assert found is not None and found.step == 5 and not said
    strategy = build_strategy(prepared, 0, CPU)
    back = resume.restore(found, strategy, tmp_path)
    assert torch.equal(torch.cat([p.detach().flatten() for p in strategy.model.parameters()]), weights)
    assert torch.equal(torch.random.get_rng_state(), expected)
    assert (back.task, back.step, back.train_seconds, back.feature_seconds) == (1, 4, 2.5, 7.75)
    assert not back.learned
    saved(tmp_path, prepared, replace(progress, learned=True), {"seed": 3})
    found = resume.latest(tmp_path, {"seed": 3}, CPU, said.append)
    assert found is not None and resume.restore(found, strategy, tmp_path).learned
    [read] = back.evaluations
    assert np.array_equal(read.logits, evaluation.logits)
    assert (read.positive_angle, read.memory_counts) == (80.5, [1, 2, 0, 0, 0, 0])


@pytest.mark.parametrize("other", [{"seed": 4}, {"seed": 3, "device": "cuda"}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    saved(tmp_path, prepare(), Progress(), {"seed": 3, "device": "cpu"})
    with pytest.raises(StoreError, match="start afresh with --rerun"):
        resume.latest(tmp_path, other, CPU, pytest.fail)
    assert resume.latest(tmp_path, {"seed": 3, "device": "cpu"}, CPU, pytest.fail)


def test_a_checkpoint_whose_record_was_changed_is_left_aside_and_said(tmp_path: Path) -> None:
    saved(tmp_path, prepare(), Progress(1, 0, 0.0, [EVALUATION]), {})
    events = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(events + b"more\n")  # what came after it does not matter
    assert resume.latest(tmp_path, {}, CPU, pytest.fail)
    for name in ("events.jsonl", "logits/task0.npy"):
        good = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"x" + good[1:])
        said: list[str] = []
        assert resume.latest(tmp_path, {}, CPU, said.append) is None
        assert len(said) == 1 and f"{name} to be as the checkpoint knows it but it differs" in said[0]
        (tmp_path / name).unlink()
        assert resume.latest(tmp_path, {}, CPU, said.append) is None and "to be there but got" in said[1]
        (tmp_path / name).write_bytes(good)


class Maps(Listener):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def features_ready(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_seconds_of_maps_add_up_over_the_processes_of_a_run(tmp_path: Path, stop_after: StopAfter) -> None:
    prepared, maps = prepare(freeze="backbone"), Maps()
    for steps in (2, 2):  # stopped twice, so that the sum itself goes through a checkpoint
        with pytest.raises(Stopped):
            execute(prepared, 0, tmp_path, How("cpu"), listeners=[maps], requests=stop_after(steps))
    run = execute(prepared, 0, tmp_path, How("cpu"), listeners=[maps])
    assert len(maps.seconds) == 3 and min(maps.seconds) > 0
    assert run.metrics["cost"]["feature_seconds"] == pytest.approx(sum(maps.seconds), rel=1e-12)


class SignalAt(Listener):
    """SIGTERM to this process before a batch of an evaluation."""

    def __init__(self, task: int, done: int) -> None:
        self.at, self.asked = (task, done), list[int]()

    def evaluating(self, task: int, done: int, total: int) -> None:
        self.asked.append(done)
        if (task, done) == self.at:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "task", "done"),
    [(KINDS[2], 0, 0), (KINDS[2], 2, 8), (KINDS[3], 1, 4), (KINDS[8], 1, 4)],
    ids=["ewc, first batch", "ewc, last task", "lwf", "ewc grows"],
)
def test_a_signal_during_an_evaluation_is_answered_between_its_batches_and_the_run_goes_on_to_equal_bits(
    kind: tuple[str, str, str | None], task: int, done: int, tmp_path: Path
) -> None:
    """Also of the last task, and with what a strategy does once a task is learned: it is not done twice."""
    config = resolve(kind[0], kind[1], memory=kind[2], settings={"epochs": 2, "eval_batch_size": 2})
    prepared = Prepared(config, build_scenario(config))
    whole = execute(prepared, 0, tmp_path / "whole", How("cpu"))
    requests, at = Requests(), SignalAt(task, done)
    with requests.listening(), pytest.raises(Stopped, match="stopped by SIGTERM"):
        execute(prepared, 0, tmp_path / "run", How("cpu"), listeners=[at], requests=requests)
    assert at.asked[-1] == done  # it did not go on to the next batch
    folder = prepared.folder(tmp_path / "run", 0)
    assert len(list((folder / "logits").glob("task*"))) == task
    run = execute(prepared, 0, tmp_path / "run", How("cpu"))
    names = ["events.jsonl", *(f"logits/{path.name}" for path in (whole.folder / "logits").iterdir())]
    assert {name: sha256(run.folder / name) for name in names} == {name: sha256(whole.folder / name) for name in names}
    seconds = {"feature_seconds", "train_seconds", "eval_seconds", "peak_memory_bytes"}
    for metrics in (run.metrics, whole.metrics):
        metrics["cost"] = {name: value for name, value in metrics["cost"].items() if name not in seconds}
    assert run.metrics == whole.metrics
