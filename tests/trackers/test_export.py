"""Exports are read back with each tracker's own reader."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from readback import Scalars, check, event_files, expected, needs

from clbench.errors import StoreError, UsageError
from clbench.store.folder import Run, find_runs
from clbench.trackers.export import STEP, TRACKERS, require, training_values

CommandLine = Callable[..., tuple[int, str, str]]
DEBUG = ("run", "--scenario", "debug", "--strategy", "er")


@pytest.mark.slow
@needs("tensorboard")
def test_tensorboard_reads_back_what_was_exported(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*DEBUG, "--seed", "0..1")
    for _ in range(2):  # a second export replaces the first
        code, out, err = clbench("export", "tensorboard")
        assert code == 0 and "2 run(s) in results/tensorboard" in err and len(out.splitlines()) == 2
    for run, name in zip(find_runs(tmp_path / "results/runs"), out.splitlines(), strict=True):
        check(event_files(tmp_path / "results/tensorboard" / name), run)


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


@pytest.mark.slow
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


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    import subprocess

    code = "import sys, clbench.cli, clbench.trackers.export; sys.exit(any(m in sys.modules for m in %r))"
    heavy = ("torch", "tensorboard", "wandb", "mlflow", "pandas", "scipy", "matplotlib")
    assert subprocess.run([sys.executable, "-c", code % (heavy,)]).returncode == 0


def test_a_damaged_event_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "step", "loss": 1.0}\n{"event"\n')
    with pytest.raises(StoreError, match="events.jsonl"):
        list(training_values(Run(tmp_path)))
