import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench import __version__

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def clbench(clbench: CommandLine) -> CommandLine:
    """With one strategy on two seeds."""
    assert clbench("run", "--scenario", "debug", "--strategy", "er", "--seed", "0..1")[0] == 0
    return clbench


@pytest.mark.slow
def test_a_format_for_each_reader(clbench: CommandLine) -> None:
    texts = {name: clbench("report", "--format", name)[1] for name in ("table", "markdown", "latex", "csv", "json")}
    assert clbench("report")[1] == texts["table"] and clbench("report", "--json")[1] == texts["json"]
    assert json.loads(texts["json"])["schema"] == 1
    assert texts["csv"].startswith("scenario,strategy,") and r"\toprule" in texts["latex"]
    assert "| er " in texts["markdown"] and "| er " not in texts["table"]
    assert clbench("report", "--format", "html")[1].startswith("<!doctype html>")
    assert len(set(texts.values())) == len(texts)


def test_columns_and_the_matrix(clbench: CommandLine) -> None:
    heading = clbench("report", "--columns", "mAP, positive_angle")[1].splitlines()[2]
    assert heading.split() == ["strategy", "head", "memory", "n", "mAP", "angle", "°"]
    assert clbench("report", "--matrix")[1] != clbench("report")[1]


@pytest.mark.slow
def test_a_folder_has_every_format_and_the_figures(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench("report", "--out", "page")
    files = [path for path in (tmp_path / "page").rglob("*") if path.is_file()]
    assert (code, out) == (0, "") and f"{len(files)} files in page; open page/" in err
    assert {".html", ".md", ".tex", ".csv", ".json", ".svg", ".png"} <= {path.suffix for path in files}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--scenario", "other"), 5, "Expected runs of other below results/runs but found none"),
        (("--runs", "nowhere"), 5, "Expected a results folder at nowhere but there is none"),
        (("--published", "--json"), 2, "Expected --published with --format table or markdown alone"),
        (("--out", "page", "--json"), 2, "Expected --out alone, as it writes every format"),
    ],
)
def test_what_cannot_be_reported(clbench: CommandLine, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    got, out, err = clbench("report", *arguments)
    assert got == code and sentence in err and not out


@pytest.mark.slow
def test_runs_on_class_orders_of_their_own_are_one_row(clbench: CommandLine, tmp_path: Path) -> None:
    command = ("run", "--scenario", "debug-incremental", "--strategy", "er,finetune", "--set", "order=seed")
    assert clbench(*command, "--seed", "0..1", "--out", "drawn")[0] == 0
    found = json.loads(clbench("report", "--runs", "drawn", "--json")[1])["rows"]
    assert [(row["strategy"], row["seeds"], row["metrics"]["mAP"]["n"]) for row in found] == [
        ("er", [0, 1], 2),
        ("finetune", [0, 1], 2),
    ]
    text = " ".join(clbench("report", "--runs", "drawn")[1].split())
    assert "class order: drawn from the seed" in text and text.count("averages over as many orders") == 1
    assert "task t is the t-th of each" in clbench("report", "--runs", "drawn", "--matrix")[1]
    code, out, _ = clbench("compare", "er", "finetune", "--runs", "drawn")
    assert code == 0 and "er - finetune  2" in out and "Class orders: each seed draws its own" in out
    assert clbench("report", "--runs", "drawn", "--out", "page")[0] == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Tasks differ between seeds" in page and "mean over seeds" in page


def test_what_the_columns_mean_is_a_flag_away(clbench: CommandLine) -> None:
    code, out, err = clbench("report")
    assert code == 0 and "clbench report --explain" in err and "mean over classes of" not in out
    code, explained, err = clbench("report", "--explain")
    assert code == 0 and explained.startswith(out.rstrip()) and "--explain" not in err
    assert "mAP: mean over classes of average precision" in explained
    assert max(map(len, explained.splitlines())) <= 80
    assert "- mAP: mean over classes of average precision" in clbench("report", "--format", "markdown")[1]


@pytest.mark.slow
def test_what_is_written_says_when_with_what_and_by_which_command(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1769860800")
    monkeypatch.setattr("sys.argv", ["clbench", "report", "--out", "page"])
    monkeypatch.setattr("clbench.report.folder.draw", lambda rows: [])
    said = f"Made 2026-01-31 12:00 UTC with clbench {__version__}"
    assert clbench("report", "--out", "page")[0] == 0
    files = {path.suffix: path.read_bytes() for path in (tmp_path / "page").glob("report.*")}
    first = {suffix: data.decode().splitlines()[0] for suffix, data in files.items()}
    assert first[".tex"].startswith(f"% {said}") and first[".txt"].startswith(said)
    assert first[".md"].startswith(f"<!-- {said}") and first[".md"].endswith("by: clbench report --out page -->")
    assert json.loads(files[".json"])["made"]["command"] == "clbench report --out page"
    assert first[".csv"].startswith("scenario,")  # a line is a row
    assert said in files[".html"].decode() and "<code>clbench report --out page</code>" in files[".html"].decode()
    assert clbench("report", "--out", "page")[0] == 0
    assert files == {path.suffix: path.read_bytes() for path in (tmp_path / "page").glob("report.*")}
    assert clbench("report", "--format", "latex")[1].startswith(f"% {said}")
    assert clbench("report", "--format", "markdown")[1].startswith(f"<!-- {said}")
    assert said in clbench("report", "--format", "html")[1] and said not in clbench("report")[1]


def test_a_second_execution_is_compared_only_where_numbers_are_recomputed(
    clbench: CommandLine, real_store: Path
) -> None:
    code, out, err = clbench("report", str(real_store), "--against", str(real_store))
    assert (code, out) == (2, "") and "Expected --against with --verify" in err
    code, out, err = clbench("report", str(real_store), "--verify", "--against", "nowhere")
    assert (code, out) == (5, "") and "Expected a results folder at nowhere" in err
    code, out, err = clbench("report", str(real_store), "--verify", "--against", str(real_store))
    assert code == 0 and "Run again" not in out and err.count("is a copy of it") == 6
