from collections.abc import Callable
from pathlib import Path

import pytest

import clbench
from clbench.errors import UsageError
from clbench.launch import run as module
from clbench.learning.listener import Listener
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import Run


@pytest.mark.slow
def test_a_run_for_each_seed_and_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = clbench.run("debug", "er", seeds=[0, 2], memory="prs", settings={"lr": 0.5}, out=tmp_path)
    assert [(run.seed, run.state, run.config["changed"]) for run in runs] == [
        (seed, "done", {"memory": "prs", "lr": 0.5}) for seed in (0, 2)
    ]
    times = [(run.folder / "status.json").stat().st_mtime_ns for run in runs]
    assert clbench.run("debug", "er", seeds=[0, 2], memory="prs", settings={"lr": 0.5}, out=tmp_path) == runs
    assert [(run.folder / "status.json").stat().st_mtime_ns for run in runs] == times
    clbench.run("debug", "er", seeds=[0], memory="prs", settings={"lr": 0.5}, out=tmp_path, rerun=True)
    assert (runs[0].folder / "status.json").stat().st_mtime_ns > times[0]
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_raised_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_scenario", lambda *_: pytest.fail("built"))
    for wrong in ({"settings": {"lrr": 1}}, {"device": "tpu"}, {"view": "half"}):
        with pytest.raises(UsageError):
            clbench.run("debug", "er", out=tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


class Deaf(Listener):
    """Hears much, but not what is said."""

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        pass


class Ear(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def said(self, message: str) -> None:
        self.messages.append(message)


def stopped(out: Path, requests: Requests) -> Path:
    """The folder of a run that has stopped after three steps, whose last checkpoint is damaged."""
    config = resolve("debug", "er")
    prepared = Prepared(config, build_scenario(config))
    with pytest.raises(Stopped):
        execute(prepared, 0, out, How("cpu"), requests=requests)
    folder = prepared.folder(out, 0)
    [*_, last] = sorted((folder / "checkpoint").iterdir())
    (last / "state.json").write_bytes(b"{")
    return folder


@pytest.mark.parametrize("listeners", [[], [Deaf()], [Ear()], [Deaf(), Ear()]], ids=["none", "deaf", "ear", "both"])
def test_a_damaged_checkpoint_is_never_silent(
    listeners: list[Listener],
    tmp_path: Path,
    stop_after: Callable[[int], Requests],
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = stopped(tmp_path, stop_after(3))
    assert capfd.readouterr() == ("", "")
    [run] = clbench.run("debug", "er", out=tmp_path, device="cpu", listeners=listeners)
    assert run == Run(folder) and run.state == "done"
    out, err = capfd.readouterr()
    ears = [listener for listener in listeners if isinstance(listener, Ear)]
    said = ears[0].messages if ears else err.splitlines()
    assert not out and bool(err) == (not ears)
    assert len(said) == 2 and "the checksum of state.json differs" in said[0] and "going on after step 2" in said[1]


@pytest.mark.slow
def test_each_seed_has_tasks_of_its_own_where_they_are_drawn_from_it(tmp_path: Path) -> None:
    runs = clbench.run("debug-incremental", "er", seeds=[3, 0], settings={"order": "seed"}, out=tmp_path)
    assert [run.seed for run in runs] == [3, 0] and runs[0].folder.parent == runs[1].folder.parent
    manifests = [run.env["manifest"] for run in runs]
    assert [manifest["drawn"]["seed"] for manifest in manifests] == [3, 0]
    for run, order in zip(runs, ("random:3", "random:0"), strict=True):
        [same] = clbench.run("debug-incremental", "er", seeds=[run.seed], settings={"order": order}, out=tmp_path)
        assert same.env["manifest"]["hash"] == run.env["manifest"]["hash"] and same.config_hash != run.config_hash
        assert same.metrics["final"] == run.metrics["final"]


def test_a_file_is_run_by_its_path_and_read_anew_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = '"""Mine."""\nfrom clbench import Strategy\n\nclass Mine(Strategy):\n    pass\n'
    hashes = set()
    for end in ("", "\n"):
        Path("mine.py").write_text(text + end)
        [run] = clbench.run("debug", "./mine.py", out=tmp_path / "runs")
        assert (run.folder / "plugin" / "strategy" / "mine.py").read_text() == text + end
        hashes.add(run.config_hash)
    assert len(hashes) == 2
