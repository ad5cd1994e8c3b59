"""The tables in results/ against the code of today: a warning where one is older, no failure; and the check itself."""

import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import reference_tables
from reference_tables import (
    REFERENCES,
    Group,
    Reference,
    config_hashes,
    first_table,
    main,
    outdated,
    put_into_readme,
    write_tables,
)

import clbench

ROOT = Path(__file__).parent.parent
STRATEGIES = ("er", "joint")
DEBUG = Reference("debug", (Group(STRATEGIES), Group(("er",), "prs")), seeds="0..1")
ER, PRS, JOINT = ("er", "linear", "reservoir"), ("er", "linear", "prs"), ("joint", "linear", "none")


@pytest.mark.slow
@pytest.mark.filterwarnings("default:Expected .*make results")
@pytest.mark.parametrize("table", REFERENCES)
def test_tables_are_of_the_code_of_today(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a warning: they take minutes to make, and are made when the numbers settle."""
    monkeypatch.chdir(ROOT)  # where the recipes are
    if REFERENCES[table].missing:
        pytest.skip(f"needs {' and '.join(REFERENCES[table].missing)}")
    for sentence in outdated(table, REFERENCES[table], ROOT / "results"):
        warnings.warn(sentence, stacklevel=1)


@pytest.mark.filterwarnings("default:Expected .*make results")
def test_the_readme_has_the_table_of_the_results() -> None:
    if first_table(ROOT / "README.md") not in (ROOT / "results/digits-seq.md").read_text(encoding="utf-8"):
        warnings.warn(
            "Expected README.md to hold the table of results/digits-seq.md; run `make results`.", stacklevel=1
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs`, and `results` with the tables of the hidden scenario, two seeds; other runs stand beside them."""
    folder = tmp_path_factory.mktemp("tables")
    for name in STRATEGIES:
        clbench.run("debug", name, seeds=[0, 1, 2], out=folder / "runs")
    clbench.run("debug", "er", memory="prs", seeds=[0, 1], out=folder / "runs")
    clbench.run("debug", "er", settings={"lr": 0.5}, out=folder / "runs")
    clbench.run("debug", "finetune", out=folder / "runs")
    write_tables("debug", DEBUG, "0..1", None, folder / "runs", folder / "results")
    return folder


@pytest.fixture
def made(folder: Path, tmp_path: Path) -> Path:
    """A copy of `results` that a test may change."""
    return Path(shutil.copytree(folder / "results", tmp_path / "results"))


def test_what_stands_in_the_tables(folder: Path, made: Path) -> None:
    text = (made / "debug.md").read_text(encoding="utf-8")
    hashes = config_hashes(DEBUG)
    expected = {"/".join(method): made for method, made in hashes.items()}
    assert dict(re.findall(r"^\| ([\w/]+) +\| +(\w{12}) +\|$", text, re.MULTILINE)) == expected
    assert "clbench run --scenario debug --strategy er,joint --seed 0..1 --device cpu\n" in text
    assert "clbench run --scenario debug --strategy er --memory prs --seed 0..1 --device cpu\n" in text
    assert re.search(r"at (commit `[0-9a-f]{12}`|no checkout)", text)
    row = r"^\| (\w+) +\| (\w+) +\| ([\w–]+) +\| +2 \|"  # neither seed 2 nor lr=0.5
    assert set(re.findall(row, first_table(made / "debug.md"), re.MULTILINE)) == {ER, PRS, ("joint", "linear", "–")}
    frame = clbench.load_runs(folder / "runs")
    mean = frame[(frame.config_hash == hashes[ER]) & (frame.seed < 2)]["mAP"].mean()
    assert re.search(rf"^\| er +\| linear +\| reservoir +\| +2 \| +{100 * mean:.1f}±", text, re.MULTILINE)


def test_tables_that_were_just_made_are_up_to_date(made: Path) -> None:
    assert outdated("debug", DEBUG, made) == []


@pytest.mark.parametrize("kind", ["csv", "md"])
def test_a_tampered_hash_is_said(made: Path, kind: str) -> None:
    file, now = made / f"debug.{kind}", config_hashes(DEBUG)[ER]
    file.write_text(file.read_text(encoding="utf-8").replace(now, "0123456789ab"), encoding="utf-8")
    [sentence] = outdated("debug", DEBUG, made)
    assert (
        f"Expected the configuration of er/linear/reservoir in results/debug.{kind} to be {now} but it is " in sentence
    )
    with pytest.warns(UserWarning, match="configuration of er"):
        warnings.warn(sentence, stacklevel=1)


@pytest.mark.slow
def test_a_changed_default_a_new_strategy_and_one_that_is_gone_are_said(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clbench.plugins.load("scenario", "debug").defaults["train"], "lr", 0.25)
    assert [line.split(" in ")[0] for line in outdated("debug", DEBUG, made)] == [
        f"Expected the configuration of {'/'.join(method)}" for method in sorted((ER, PRS, JOINT))
    ]
    monkeypatch.undo()
    [new] = outdated("debug", replace(DEBUG, groups=(*DEBUG.groups, Group(("finetune",)))), made)
    assert "configuration of finetune" in new and "but it is not there" in new
    [gone] = outdated("debug", replace(DEBUG, groups=DEBUG.groups[:1]), made)
    assert "configuration of er/linear/prs" in gone and "to be not there but it is" in gone


def test_tables_that_are_not_there_are_said(tmp_path: Path) -> None:
    assert outdated("debug", DEBUG, tmp_path / "results") == [
        "Expected results/debug.csv but there is none; make it with `make results`."
    ]


def test_rows_take_the_recipes_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r/debug").mkdir(parents=True)
    text = (
        'schema = 1\nscenario = "debug"\nstrategy = "er"\nhead = "linear"\nmemory = "reservoir"\n'
        '[settings]\n"train.lr" = 0.25\n[search]\ntrials = 3\nseconds = 1.5\nview = "validation:0.1"\n'
    )
    (tmp_path / "r/debug/er-linear-reservoir.toml").write_text(text)
    tuned = Reference("debug", (Group(("er",)),), settings=("epochs=2",), recipes=Path("r"))
    config = tuned.configs()[ER]
    assert config.options["train"].lr == 0.25 and config.options["train"].epochs == 2
    assert tuned.commands("0")[0][-4:] == ["--set", "epochs=2", "--recipe", "r"]


def test_a_table_whose_extra_is_not_installed_is_left_out_and_is_not_to_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference_tables, "REFERENCES", {"debug": replace(DEBUG, needs=("json", "no_such_module"))})
    folders = ("--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "results"))
    main(folders)
    assert capsys.readouterr().err == "debug is left out: it needs no_such_module.\n"
    with pytest.raises(SystemExit, match="Expected to make debug but it needs no_such_module; install that first."):
        main(["--table", "debug", *folders])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sentence", ["", "By mAP nothing was known.\n\n"])
def test_the_readmes_table_is_replaced_with_its_sentence_and_nothing_else(
    made: Path, tmp_path: Path, sentence: str
) -> None:
    readme, rest = tmp_path / "README.md", "below\n\n| strategies | x |\n"
    readme.write_text(f"# a\n\n{sentence}| strategy | n |\n|---|---|\n| old | 3 |\n\n{rest}")
    put_into_readme(readme, made / "debug.md")
    table = first_table(made / "debug.md")
    assert readme.read_text() == f"# a\n\n{table}\n\n{rest}"
    assert table.startswith("By mAP n = 2 seeds are too few to conclude anything: ") and "\n\n| strategy " in table
    assert [line.split()[1] for line in table.splitlines()[4:]] == ["er", "er", "*bounds*", "joint"]


@pytest.mark.slow
def test_the_script_runs_all_seeds_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference_tables, "REFERENCES", {"debug": DEBUG})
    folders = ("--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "results"))
    main(["--seed", "0..1", *folders])
    assert outdated("debug", DEBUG, tmp_path / "results") == []
    (tmp_path / "results/debug.md").unlink()
    (tmp_path / "runs/debug/er").rename(tmp_path / "er")
    (tmp_path / "runs/debug/er").write_text("in the way")
    with pytest.raises(
        SystemExit,
        match=r"Expected every run to be done but: .*debug/er/.*; .*No table was written",
    ):
        main(["--seed", "3", *folders])
    assert not (tmp_path / "results/debug.md").exists()
