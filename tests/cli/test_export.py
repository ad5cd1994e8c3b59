import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from clbench.store.folder import find_runs, run_name
from clbench.trackers import export
from clbench.trackers.export import TRACKERS, Tracker

CommandLine = Callable[..., tuple[int, str, str]]


class Files(Tracker):
    """Writes what it is sent into `folder/name.json`."""

    def __init__(self, folder: Path, name: str, params: Mapping[str, str]) -> None:
        self._file, self._sent = folder / f"{name.replace('/', '-')}.json", 0
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def log(self, axis: str, number: int, values: Mapping[str, float]) -> None:
        self._sent += len(values)

    def close(self, state: str) -> None:
        self._file.write_text(json.dumps({"state": state, "sent": self._sent}))


@pytest.fixture
def clbench(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """With one run on each of two scenarios, and a tracker that needs no package."""
    monkeypatch.setattr(export, "require", lambda kind: Files)
    for scenario in ("debug", "debug-incremental"):
        assert clbench("run", "--scenario", scenario, "--strategy", "er")[0] == 0
    return clbench


def test_every_run_is_copied_beside_the_runs_and_named(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench("export", "wandb")
    names = [run_name(run) for run in find_runs(tmp_path / "results/runs")]
    assert code == 0 and out.splitlines() == names and err == "2 run(s) in results/wandb\n"
    files = sorted((tmp_path / "results/wandb").iterdir())
    assert [file.stem for file in files] == [name.replace("/", "-") for name in names]
    for file in files:
        sent = json.loads(file.read_text())
        assert sent["state"] == "done" and sent["sent"] > 10


def test_one_scenario_into_a_folder_of_ones_own(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, _ = clbench("export", "mlflow", "--scenario", "debug", "--out", "copies")
    assert code == 0 and len(out.splitlines()) == 1 and out.startswith("debug/er/")
    assert len(list((tmp_path / "copies").iterdir())) == 1


def test_json_names_the_runs_and_the_folder(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "results").rename(tmp_path / "other")
    code, out, _ = clbench("export", "wandb", "other/runs", "--json")
    names = [run_name(run) for run in find_runs(tmp_path / "other/runs")]
    assert code == 0 and json.loads(out) == {"tracker": "wandb", "folder": "other/wandb", "runs": names}


def test_nothing_to_export(clbench: CommandLine) -> None:
    code, out, err = clbench("export", "mlflow", "--scenario", "other")
    assert code == 5 and not out and "Expected runs below results/runs to export but found none" in err


def test_the_kinds_are_the_trackers() -> None:
    from clbench.cli.export import Kind

    assert [kind.value for kind in Kind] == list(TRACKERS)
