"""What is sent while a run goes on is read back with the tracker's own reader."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from readback import check, event_files, needs

from clbench.running.stops import Requests, Stopped
from clbench.store.folder import find_runs
from clbench.trackers import live
from clbench.trackers.export import Tracker

CommandLine = Callable[..., tuple[int, str, str]]
DEBUG = ("run", "--scenario", "debug", "--strategy", "er")


@pytest.mark.slow
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
