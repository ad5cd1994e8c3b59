"""A table handed in by one and checked by another, with the commands that results/README.md has for both."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.store.folder import find_runs, run_name

CommandLine = Callable[..., tuple[int, str, str]]
README = Path(__file__).parents[2] / "results/README.md"
MINE = '''"""Mine."""

from clbench import Strategy


class Mine(Strategy):
    pass
'''


def commands() -> list[list[str]]:
    """Every command of the section, without its program."""
    section = README.read_text(encoding="utf-8").partition("## Handing in")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.slow
def test_a_table_is_handed_in_and_checked_as_the_readme_says(clbench: CommandLine, tmp_path: Path) -> None:
    verbs = [command[0] for command in commands()]
    assert verbs == ["pack", "verify", "rerun", "verify", "merge", "report", "cite"]
    assert clbench("run", "--scenario", "debug", "--strategy", "er,finetune", "--seed", "0..1")[0] == 0
    said = []
    for command in commands():
        code, out, err = clbench(*command)
        assert code == 0, (command, out, err)
        said.append((out, err))
        if command[0] == "pack":
            shutil.rmtree(tmp_path / "results/runs")  # another's machine: only the archive is there
    names = [run_name(run) for run in find_runs(tmp_path / "results/theirs")]
    assert len(names) == 4
    assert "4 run(s): 4 recomputed, 0 not done, 0 not as written\n" in said[1][1]
    first = [name for name in names if name.endswith("seed0")]
    assert said[3][0].splitlines() == [f"{name}: run again: same bits" for name in first]
    assert "2 run again, 2 with the same bits" in said[3][1] and said[3][1].count("not run again: it is not in") == 2
    note = " ".join(said[5][0].split())
    assert "Run again here: " in note and "er (seed 0 of 2, same bits)" in note
    assert "finetune (seed 0 of 2, same bits)" in note and "chaudhry2019tiny" in said[6][0]


def test_it_refuses_what_it_cannot_do(clbench: CommandLine, real_store: Path) -> None:
    code, _, err = clbench("rerun", str(real_store), "--out", str(real_store))
    assert code == 2 and "Expected --out to be another folder than" in err
    code, _, err = clbench("rerun", str(real_store), "--strategy", "nothing", "--out", "again")
    assert code == 5 and "Expected finished runs in" in err
    code, _, err = clbench("rerun", "nowhere.zip", "--out", "again")
    assert code == 5 and "nowhere.zip" in err


@pytest.mark.slow
def test_somebodys_code_is_run_only_if_it_is_asked_for(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert clbench("run", "--scenario", "debug", "--strategy", "./mine.py", "--seed", "0..1", "--out", "runs")[0] == 0
    assert clbench("pack", "runs")[0] == 0
    (tmp_path / "mine.py").unlink()
    code, out, err = clbench("rerun", "runs.zip", "--out", "again")
    assert (code, out) == (5, "") and "is a copy)" in err and not (tmp_path / "again").exists()
    code, _, err = clbench("rerun", "runs.zip", "--out", "again", "--plugin-files")
    assert code == 0, err
    out = clbench("verify", "runs.zip", "--against", "again")[1]
    assert [line.partition(": ")[2] for line in out.splitlines()] == ["run again: same bits"] * 2


@pytest.mark.slow
def test_other_options_are_another_run_and_refused(clbench: CommandLine) -> None:
    assert clbench("run", "--scenario", "debug", "--strategy", "finetune", "--out", "runs")[0] == 0
    code, out, err = clbench("rerun", "runs", "--set", "lr=0.5", "--out", "again")
    assert (code, out) == (5, "") and "the data, the weights or clbench have changed" in err
