import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.launch.run import run
from clbench.store.folder import find_runs

CommandLine = Callable[..., Any]
OUT = Path("results/runs")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One strategy on two seeds, and a limited one."""
    store = tmp_path_factory.mktemp("runs")
    run("debug", "er", seeds=(0, 1), out=store)
    run("debug", "finetune", view="limited:2", out=store)
    return store


@pytest.fixture
def clbench(clbench: CommandLine, runs: Path, tmp_path: Path) -> CommandLine:
    """With a copy of `runs`."""
    shutil.copytree(runs, tmp_path / OUT)
    return clbench


def test_runs_are_listed(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, _ = clbench("list", "runs")
    lines = out.splitlines()
    assert code == 0 and lines[0] == "3 run(s) below results/runs"
    for line, found in zip(lines[3:], find_runs(tmp_path / OUT), strict=True):
        assert f"{found.config_hash}/seed{found.seed}" in line and f"{100 * found.metrics['final']['mAP']:.1f}" in line
    assert lines[-1].startswith("finetune LIMITED")
    listed = json.loads(clbench("list", "runs", "--json")[1])["runs"]
    assert [(run["strategy"], run["seed"], run["state"], run["view"]) for run in listed] == [
        ("er", 0, "done", "all"),
        ("er", 1, "done", "all"),
        ("finetune", 0, "done", "limited:2"),
    ]


def test_a_run_has_a_card(clbench: CommandLine, tmp_path: Path) -> None:
    first = next(find_runs(tmp_path / OUT))
    code, out, _ = clbench("show", f"{first.config_hash[:6]}/seed0")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    assert out.startswith("debug, er, seed 0\n  state: done (")
    for part in ("Configuration", "memory: reservoir, size=5", "Protocol", "Data", "Environment", "Cost: steps 6; "):
        assert part in out
    numbers = next(line.split()[1:] for line in out.splitlines() if line.startswith("mAP "))
    assert numbers[0] == f"{100 * first.metrics['final']['mAP']:.1f}"
    by_folder = clbench("show", str(first.folder))[1]
    assert by_folder.partition("Configuration")[2] == out.partition("Configuration")[2]
    document = json.loads(clbench("show", str(first.folder), "--json")[1])
    assert document["config"] == first.config and document["metrics"] == first.metrics


def test_the_card_of_a_run_without_numbers_gives_the_reason(clbench: CommandLine) -> None:
    clbench("run", "--scenario", "debug", "--strategy", "finetune", "--set", "lr=1e30", "--set", "optimizer=sgd")
    listed = json.loads(clbench("list", "runs", "--json")[1])["runs"]
    [bad] = [run for run in listed if run["state"] == "diverged"]
    code, out, _ = clbench("show", bad["folder"])
    assert code == 0 and "state: diverged: Expected finite" in out and "Metrics" not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "nothing"), "Unknown plugin 'nothing'"),
        (("list", "run"), "Unknown kind 'run'; did you mean 'runs'?"),
    ],
)
def test_unknown_names(clbench: CommandLine, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, err = clbench(*arguments)
    assert code == 2 and sentence in err


def test_stores_are_merged(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench("merge", "results/runs", "--out", "all")
    assert code == 0 and err.strip() == "3 copied, 0 same, 0 replaced, 0 outdated, 0 refused, 0 damaged"
    assert [line.split()[0] for line in out.splitlines()] == ["copied"] * 3
    assert clbench("report", "--runs", "all")[1] == clbench("report")[1]
    run = next(find_runs(tmp_path / OUT))
    (run.folder / "metrics.json").write_text("{}")
    code, out, err = clbench("merge", "results/runs", "--out", "all")
    assert code == 5 and "metrics.json is not as the run wrote it" in out and "1 damaged" in err
    assert len(json.loads(clbench("merge", "all", "--json")[1])["refused"]) == 1
    assert clbench("merge", "nowhere")[0] == 5


def test_the_store_is_an_argument_wherever_it_is_read(clbench: CommandLine, tmp_path: Path) -> None:
    os.rename(tmp_path / "results", tmp_path / "my results")
    store = "my results/runs"
    run = json.loads(clbench("list", "runs", store, "--json")[1])["runs"][0]
    for verb in (("report",), ("list", "runs"), ("show", f"{run['config_hash']}/seed0")):
        found = clbench(*verb, store)
        assert found.code == 0 and found == clbench(*verb, "--runs", store)
        assert clbench(*verb)[0] != 0  # the default folder is not there
    code, _, err = clbench("report", store, "--runs", store)
    assert code == 2 and "Expected one results folder but got STORE and --runs; leave out one of them." in err
    code, _, err = clbench("list", "heads", store)
    assert code == 2 and "Expected a results folder with `clbench list runs` alone" in err


def test_an_argument_goes_before_the_environment(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLBENCH_OUT", "nowhere")
    assert clbench("report")[0] == 5 and clbench("report", "results/runs")[0] == 0
    assert clbench("report", "--runs", "results/runs")[0] == 0
