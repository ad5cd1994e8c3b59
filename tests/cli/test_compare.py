import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.files import DEFAULT_OUT
from clbench.launch.run import run

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies on two seeds."""
    store = tmp_path_factory.mktemp("runs")
    for strategy in ("er", "finetune"):
        run("debug", strategy, seeds=(0, 1), out=store)
    return store


@pytest.fixture
def clbench(clbench: CommandLine, runs: Path, tmp_path: Path) -> CommandLine:
    """With a copy of `runs`."""
    shutil.copytree(runs, tmp_path / DEFAULT_OUT)
    return clbench


def test_two_rows_are_compared(clbench: CommandLine) -> None:
    code, out, err = clbench("compare", "er", "finetune")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "debug (3 tasks, 6 classes): mAP, points" and lines[3].startswith("er - finetune  2")
    assert "Nothing can be concluded: with 2 seeds" in out and max(map(len, lines)) <= 80


def test_json_has_the_numbers_and_the_sentence(clbench: CommandLine) -> None:
    code, out, _ = clbench("compare", "--metric", "CF1", "--json")
    document = json.loads(out)
    [table] = document["tables"]
    [pair] = table["comparisons"]
    assert code == 0 and document["schema"] == 1 and table["scenario"] == "debug"
    assert (pair["a"], pair["b"], pair["metric"], pair["seeds"]) == ("er", "finetune", "CF1", [0, 1])
    assert pair["difference"] == pytest.approx(pair["mean_a"] - pair["mean_b"])
    assert table["conclusion"].startswith("Nothing can be concluded") and not pair["significant"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("er",), 2, "Expected two rows or more to compare but got 'er' alone."),
        (("er", "er"), 2, "Expected different rows to compare but 'er' and 'er' are both er"),
        (("er", "finetun"), 2, "did you mean 'finetune'?"),
        (("--metric", "map"), 2, "Expected a table with two rows that have map"),
        (("--scenario", "digits-seq"), 5, "Expected runs"),
    ],
)
def test_bad_input_is_a_sentence(clbench: CommandLine, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    got, out, err = clbench("compare", *arguments)
    assert got == code and sentence in err and not out


def test_runs_on_other_data_are_refused(clbench: CommandLine) -> None:
    clbench("run", "--scenario", "debug", "--strategy", "lwf", "--limit", "2")
    code, _, err = clbench("compare", "er", "lwf")
    assert code == 2 and "differ in view: all against limited:2; data manifest:" in err
    assert clbench("compare")[0] == 0  # each table on its own


def test_the_store_may_stand_before_the_rows(clbench: CommandLine, tmp_path: Path) -> None:
    expected = clbench("compare", "er", "finetune")
    (tmp_path / "results").rename(tmp_path / "other")
    (tmp_path / "er").mkdir()  # a folder without runs: the name is a row's
    assert clbench("compare", "other/runs", "er", "finetune") == expected
    assert clbench("compare", "er", "finetune", "--runs", "other/runs") == expected
