from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import StoreError, UsageError
from clbench.report import formats
from clbench.report.folder import check_folder, write_folder
from clbench.report.latex import latex
from clbench.report.rows import Row, collect
from clbench.report.tables import Table, build_tables, with_glossary
from clbench.store.folder import find_runs

Make = Callable[..., None]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


@pytest.mark.slow
def test_a_folder_of_every_format(store: Path, make: Make, tmp_path: Path) -> None:
    make("er", 0)
    make("dlfl", 0)
    found = rows(store)
    written = write_folder(found, tmp_path / "report")
    names = [path.relative_to(tmp_path / "report").as_posix() for path in written]
    assert names[:6] == [f"report.{end}" for end in ("html", "md", "csv", "json", "tex", "txt")]
    assert "figures/1-made-map.svg" in names and "figures/1-made-classes.png" in names
    assert (tmp_path / "report/report.txt").read_text() == formats.text(with_glossary(build_tables(found))) + "\n"
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_folder(rows(store), tmp_path / "report")] == before


def test_a_folder_of_runs_is_not_written_to(store: Path, make: Make) -> None:
    make("er", 0)
    with pytest.raises(UsageError, match="read them with --runs"):
        write_folder(rows(store), store)
    assert not list(store.glob("report.*"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures: they take seconds."""
    monkeypatch.setattr("clbench.report.folder.draw", lambda rows: [])


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_each_file_is_its_format(store: Path, make: Make, tmp_path: Path) -> None:
    make("er", 0)
    make("lwf", 0, scenario="other")
    found, below = rows(store), Table("published", ("", "mAP"), (("X", "12.3"),))
    html, md, as_csv, as_json, tex, txt = write_folder(found, tmp_path / "a/b", ["OF1", "rank"], [below])
    tables = [*with_glossary(build_tables(found, ["OF1", "rank"])), below]
    assert md.read_text("utf-8") == formats.markdown(tables) + "\n"
    assert txt.read_text("utf-8") == formats.text(tables) + "\n" and "\nX  12.3\n" in txt.read_text("utf-8")
    assert as_csv.read_text("utf-8") == formats.as_csv(found) + "\n"
    assert as_json.read_text("utf-8") == formats.as_json(found) + "\n"
    assert tex.read_text("utf-8") == latex(found, ["OF1", "rank"]) + "\n"
    assert tex.read_text("utf-8").count("& OF1 & rank") == html.read_text("utf-8").count(">rank</button>") == 2
    assert list((tmp_path / "a/b/figures").iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_what_was_there_before_is_written_over_and_what_else_is_there_stays(
    store: Path, make: Make, tmp_path: Path
) -> None:
    make("er", 0)
    out = tmp_path / "report"
    out.mkdir()
    (out / "report.txt").write_text("old")
    (out / "notes.txt").write_text("mine")
    write_folder(rows(store), out)
    assert (out / "report.txt").read_text("utf-8") == formats.text(with_glossary(build_tables(rows(store)))) + "\n"
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("undrawn")
def test_a_place_that_cannot_be_a_folder_is_said(store: Path, make: Make, tmp_path: Path) -> None:
    make("er", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Expected to write the report to .*file but got: .*another folder with --out"):
        write_folder(rows(store), tmp_path / "file")


def test_an_unknown_column_writes_nothing(store: Path, make: Make, tmp_path: Path) -> None:
    make("er", 0)
    with pytest.raises(UsageError, match="Unknown column 'mAp'"):
        write_folder(rows(store), tmp_path / "report", ["mAp"])
    assert not (tmp_path / "report").exists()


def test_only_a_folder_of_runs_is_refused(store: Path, make: Make, tmp_path: Path) -> None:
    make("er", 0)
    with pytest.raises(UsageError, match="Expected --out to be a folder for the report's files"):
        check_folder(store)
    check_folder(tmp_path)  # the store lies below it
    check_folder(tmp_path / "nowhere")
