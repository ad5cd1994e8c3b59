"""Exports are read back with each tracker's own reader."""

import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clbench.errors import StoreError, UsageError
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import Run, find_runs
from clbench.trackers import live
from clbench.trackers.export import STEP, TRACKERS, Tracker, require, training_values

CommandLine = Callable[..., tuple[int, str, str]]
Scalars = dict[str, list[tuple[int, float]]]
DEBUG = ("run", "--scenario", "debug", "--strategy", "er")


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}, an extra")


def event_files(folder: Path) -> Scalars:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})  # all of them
    accumulator.Reload()
    return {
        tag: [(event.step, event.tensor_proto.float_val[0]) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def expected(run: Run) -> Scalars:
    """From the run folder, without the code under test."""
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    metrics = json.loads((run.folder / "metrics.json").read_text())
    found = {"train/loss": list(enumerate(losses))}
    found["eval/mAP"] = [(task, values["mAP"]) for task, values in enumerate(metrics["overall"])]
    found["final/forgetting_mAP"] = [(len(metrics["overall"]) - 1, metrics["final"]["forgetting_mAP"])]
    return found


def check(found: Scalars, run: Run) -> None:
    for tag, points in expected(run).items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in points], rel=1e-6)


@needs("tensorboard")
def test_tensorboard_reads_back_what_was_exported(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*DEBUG, "--seed", "0..1")
    for _ in range(2):  # a second export replaces the first
        code, out, err = clbench("export", "tensorboard")
        assert code == 0 and "2 run(s) in results/tensorboard" in err and len(out.splitlines()) == 2
    for run, name in zip(find_runs(tmp_path / "results/runs"), out.splitlines(), strict=True):
        check(event_files(tmp_path / "results/tensorboard" / name), run)


@needs("tensorboard")
def test_live_tracking_gives_what_an_export_gives(clbench: CommandLine, tmp_path: Path) -> None:
    code, _, err = clbench(*DEBUG, "--track", "tensorboard", "--set", "epochs=40")  # more steps than are kept back
    assert code == 0, err
    clbench("export", "tensorboard", "--out", "again")
    [run] = find_runs(tmp_path / "results/runs")
    name = run.folder.relative_to(tmp_path / "results/runs")
    live = event_files(tmp_path / "results/tensorboard" / name)
    check(live, run)
    assert live == event_files(tmp_path / "again" / name)
    assert not list(run.folder.rglob("*tfevents*"))  # the run folder is the run's own


@needs("tensorboard")
def test_a_tracked_run_that_goes_on_is_sent_whole(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        asked = itertools.count()
        patch.setattr(Requests, "stop", lambda self: Stopped("stopped", 75) if next(asked) == 3 else None)
        assert clbench(*DEBUG, "--track", "tensorboard")[0] == 75
    code, _, err = clbench(*DEBUG, "--track", "tensorboard")
    assert code == 0 and "going on after step" in err
    [run] = find_runs(tmp_path / "results/runs")
    check(event_files(tmp_path / "results/tensorboard" / run.folder.relative_to(tmp_path / "results/runs")), run)


@needs("mlflow")
def test_mlflow_reads_back_what_was_exported(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    clbench(*DEBUG)
    for _ in range(2):
        assert clbench("export", "mlflow")[0] == 0
    [run] = find_runs(tmp_path / "results/runs")
    client = MlflowClient((tmp_path / "results/mlflow").as_uri())
    experiment = client.get_experiment_by_name("debug")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.data.params["train.lr"] == "0.001"
    history = {tag: client.get_metric_history(found.info.run_id, tag) for tag in expected(run)}
    check({tag: [(m.step, m.value) for m in sorted(ms, key=lambda m: m.step)] for tag, ms in history.items()}, run)


@pytest.mark.slow
@needs("wandb")
def test_wandb_offline_holds_what_was_exported(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    clbench(*DEBUG)
    code, _, err = clbench("export", "wandb")
    assert code == 0, err
    [run] = find_runs(tmp_path / "results/runs")
    [file] = (tmp_path / "results/wandb").rglob("*.wandb")
    check(wandb_file(file), run)


def wandb_file(file: Path) -> Scalars:
    proto = importlib.import_module("wandb.proto.wandb_internal_pb2")
    found: Scalars = {}
    for data in records(file.read_bytes()):
        record: Any = proto.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            number = items[STEP] if STEP in items else items["task"]
            for key, value in items.items():
                found.setdefault(key, []).append((number, value))
    return found


def records(data: bytes) -> Iterator[bytes]:
    """Of a LevelDB log behind wandb's header of 7 bytes: blocks of 32 KiB with whole records (1) or parts (2, 3, 4)."""
    assert data[:4] == b":W&B"
    place, record = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # too little for a header: padding up to the next block
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_tracker_that_is_not_installed_is_a_sentence_with_the_command(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    clbench(*DEBUG)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = f"Expected {kind} to be installed but it is not; run `pip install 'clbench[{kind}]'`."
    with pytest.raises(UsageError, match=kind):
        require(kind)
    for arguments in (("export", kind), (*DEBUG, "--seed", "7", "--track", kind)):
        code, out, err = clbench(*arguments)
        assert code == 2 and sentence in err and not out
    assert [run.seed for run in find_runs(tmp_path / "results/runs")] == [0]


class Broken(Tracker):
    def __init__(self, folder: Path, name: str, params: object) -> None:
        self.closed = False

    def log(self, axis: str, number: int, values: object) -> None:
        raise ConnectionError("the server went away")

    def close(self, state: str) -> None:
        raise ConnectionError("still away")


def test_a_tracker_that_fails_does_not_stop_the_run(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "require", lambda kind: Broken)
    monkeypatch.setattr("clbench.trackers.export.require", lambda kind: Broken)
    code, out, err = clbench(*DEBUG, "--track", "wandb")
    assert code == 0 and err.count("tracking stopped (ConnectionError: the server went away); the run goes on") == 1
    [run] = find_runs(tmp_path / "results/runs")
    assert run.state == "done"


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    import subprocess

    code = "import sys, clbench.cli, clbench.trackers.export; sys.exit(any(m in sys.modules for m in %r))"
    heavy = ("torch", "tensorboard", "wandb", "mlflow", "pandas", "scipy", "matplotlib")
    assert subprocess.run([sys.executable, "-c", code % (heavy,)]).returncode == 0


def test_a_damaged_event_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "step", "loss": 1.0}\n{"event"\n')
    with pytest.raises(StoreError, match="events.jsonl"):
        list(training_values(Run(tmp_path)))
