from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench import plugins
from clbench.errors import StoreError, UsageError
from clbench.learning.listener import Listener
from clbench.learning.strategy import Strategy
from clbench.learning.tally import COUNTS
from clbench.models.features import FOLDER
from clbench.models.head import Head
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.resume import Schedule
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import CHECKPOINTS, Run, finished
from clbench.store.lock import Busy, held, lock_file

CPU = How("cpu")
StopAfter = Callable[[int], Requests]


@pytest.fixture
def prepared() -> Prepared:
    return prepare()


def prepare(**settings: Any) -> Prepared:
    config = resolve("debug", "er", settings=settings)
    return Prepared(config, build_scenario(config))


class Ear(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.tasks: list[int] = []

    def said(self, message: str) -> None:
        self.messages.append(message)

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self.tasks.append(task)


def test_a_run_that_is_done_is_left_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    first, second, third = Ear(), Ear(), Ear()
    run = execute(prepared, 0, tmp_path, CPU, listeners=[first])
    left_over = run.folder / "checkpoint"
    left_over.mkdir()
    assert execute(prepared, 0, tmp_path, CPU, listeners=[second]) == run and not left_over.exists()
    execute(prepared, 0, tmp_path, How("cpu", rerun=True), listeners=[third])
    assert (first.tasks, second.tasks, third.tasks) == ([0, 1, 2], [], [0, 1, 2])


def test_a_run_that_was_stopped_goes_on_and_says_so(prepared: Prepared, tmp_path: Path, stop_after: StopAfter) -> None:
    whole = execute(prepared, 0, tmp_path / "whole", CPU)
    ear = Ear()
    with pytest.raises(Stopped):
        execute(prepared, 0, tmp_path, CPU, requests=stop_after(3))
    folder = prepared.folder(tmp_path, 0)
    run = execute(prepared, 0, tmp_path, CPU, listeners=[ear])
    assert ear.messages == [f"{folder}: going on after step 3"] and ear.tasks == [1, 2]  # a task takes two steps
    assert run.env["resumed_after_step"] == 3 and whole.env["resumed_after_step"] is None
    for name in ("events.jsonl", "logits/task2.npy"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not (run.folder / "checkpoint").exists()
    for name, expected in (("steps", 6), ("gradient_images", 33), ("replayed_images", 15)):  # see test_tally
        assert run.metrics["cost"][name] == whole.metrics["cost"][name] == expected


@pytest.mark.slow
def test_a_model_that_draws_goes_on_with_its_draws(
    tmp_path: Path, stop_after: StopAfter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No built-in model draws while it learns; with dropout the run depends on PyTorch's own generator."""
    prepared = prepare()
    plain = plugins.load("head", "linear").features

    def dropped(head: Head, feature_map: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(plain(head, feature_map), 0.5, head.training)

    without = execute(prepared, 0, tmp_path / "without", CPU)
    monkeypatch.setattr(plugins.load("head", "linear"), "features", dropped)
    whole = execute(prepared, 0, tmp_path / "whole", CPU)
    with pytest.raises(Stopped):
        execute(prepared, 0, tmp_path, CPU, requests=stop_after(3))
    torch.manual_seed(99)  # another process has another state
    run = execute(prepared, 0, tmp_path, CPU)
    events = [(each.folder / "events.jsonl").read_bytes() for each in (run, whole, without)]
    assert events[0] == events[1] != events[2]


def test_a_run_that_cannot_be_resumed_says_so_and_begins_again(
    tmp_path: Path, stop_after: StopAfter, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare()
    monkeypatch.setattr(plugins.load("strategy", "er"), "resumable", False)
    ear = Ear()
    with pytest.raises(Stopped):
        execute(prepared, 0, tmp_path, CPU, requests=stop_after(3), listeners=[ear])
    assert ear.messages == ["er cannot be resumed: no checkpoints; a run that is stopped begins again"]
    assert not (prepared.folder(tmp_path, 0) / "checkpoint").exists()
    again = Ear()
    run = execute(prepared, 0, tmp_path, CPU, listeners=[again])
    assert again.tasks == [0, 1, 2] and run.env["resumed_after_step"] is None
    assert run.metrics["cost"]["steps"] == 6


def test_counts_that_a_checkpoint_lacks_are_none_and_not_too_few(
    prepared: Prepared, tmp_path: Path, stop_after: StopAfter, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Strategy.state

    def without(self: Strategy) -> dict[str, Any]:
        return {name: value for name, value in plain(self).items() if name != "tally"}

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Strategy, "state", without)
        execute(prepared, 0, tmp_path, CPU, requests=stop_after(3))
    cost = execute(prepared, 0, tmp_path, CPU).metrics["cost"]
    assert [cost[name] for name in COUNTS] == [None, None, None] and cost["parameters"] > 0


def test_a_run_afresh_forgets_the_checkpoint(prepared: Prepared, tmp_path: Path, stop_after: StopAfter) -> None:
    with pytest.raises(Stopped):
        execute(prepared, 0, tmp_path, CPU, requests=stop_after(3))
    ear = Ear()
    run = execute(prepared, 0, tmp_path, How("cpu", rerun=True), listeners=[ear])
    assert not ear.messages and ear.tasks == [0, 1, 2] and run.env["resumed_after_step"] is None


def test_a_device_that_cannot_be_had_leaves_nothing(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected --device to be auto, cpu, cuda or cuda:N"):
        execute(prepared, 0, tmp_path, How("tpu"))
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_process_is_busy(prepared: Prepared, tmp_path: Path) -> None:
    with held(prepared.folder(tmp_path, 0)), pytest.raises(Busy):
        execute(prepared, 0, tmp_path, CPU)
    assert not prepared.folder(tmp_path, 0).exists()


@pytest.mark.slow
def test_maps_of_a_frozen_backbone_stand_below_the_results(tmp_path: Path) -> None:
    execute(prepare(freeze="backbone"), 0, tmp_path, CPU)
    assert list((tmp_path / FOLDER).glob("*/maps.f16"))


def test_how_a_run_is_carried_out_does_not_change_it(prepared: Prepared, tmp_path: Path) -> None:
    plain = execute(prepared, 0, tmp_path / "plain", CPU)
    other = execute(prepared, 0, tmp_path / "other", How("cpu", Schedule(0.0, 1), workers=0))
    for name in ("events.jsonl", "config.json", "logits/task0.npy", "logits/task2.npy"):
        assert (plain.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_what_fails_is_in_the_folder_before_it_is_raised(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of paper")

    monkeypatch.setattr("clbench.running.execute.train", broken)
    with pytest.raises(RuntimeError, match="out of paper"):
        execute(prepared, 0, tmp_path, CPU)
    folder = prepared.folder(tmp_path, 0)
    assert '"failed"' in (folder / "status.json").read_text() and not (folder / "metrics.json").exists()
    with held(folder):  # the lock was given back
        pass
    assert torch.get_num_threads() == prepared.config.options["train"].threads


def test_a_run_whose_lock_file_was_removed_stops_and_leaves_the_folder_to_the_other(
    prepared: Prepared, tmp_path: Path
) -> None:
    """Two would write into one folder: the first notices it before it writes again."""

    class Removes(Ear):
        def stepped(self, task: int, step: int, values: Any, samples: Any) -> None:
            lock_file(folder).unlink(missing_ok=True)
            (folder / CHECKPOINTS).mkdir(exist_ok=True)  # the other's

    folder, ear = prepared.folder(tmp_path, 0), Removes()
    with pytest.raises(StoreError, match="Expected the lock .* to stay while .* but it was removed"):
        execute(prepared, 0, tmp_path, CPU, listeners=[ear])
    assert Run(folder).state == "running" and not (folder / "SHA256SUMS").exists() and (folder / CHECKPOINTS).is_dir()
    assert [message for message in ear.messages if "this could not be written" in message]
    execute(prepared, 0, tmp_path, CPU)
    assert finished(folder)
