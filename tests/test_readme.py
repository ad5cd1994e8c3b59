"""What the README says is so: its strategy runs as a third-party package, its commands and options exist."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from clbench import plugins
from clbench.models import ModelOptions
from clbench.options import infos
from clbench.store.folder import find_runs

CommandLine = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_the_readmes_strategy_runs_as_a_third_party_package(tmp_path: Path) -> None:
    source = next(block for block in blocks("python") if "class WeightedReplay" in block)
    assert len(source.strip().splitlines()) <= 25
    declared = next(block for block in blocks("toml") if "clbench.strategies" in block)
    [(group, name, package)] = re.findall(r'entry-points\."(.+?)"\]\n(\w+) = "(\w+)"', declared)
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / package / "weighted_replay.py").write_text(source)
    info = tmp_path / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}\n")
    work = tmp_path / "work"
    work.mkdir()
    code = (
        "import sys; from clbench.testing import check_strategy; check_strategy('weighted-replay'); "
        "from clbench.cli import main; "
        "sys.argv = 'clbench run --scenario debug --strategy weighted-replay --set weight=3'.split(); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [run] = find_runs(work / "results" / "runs")
    assert (run.strategy, run.state, run.config["changed"]) == ("weighted-replay", "done", {"weight": 3.0})


@pytest.mark.slow
def test_the_readmes_first_commands_run_its_strategy(clbench: CommandLine, tmp_path: Path) -> None:
    source = next(block for block in blocks("python") if "class WeightedReplay" in block)
    commands = next(block for block in blocks("") if "clbench new strategy" in block).splitlines()
    new, check, run, report = (command.partition("#")[0].split()[1:] for command in commands)
    assert clbench(*new)[0] == 0 and (tmp_path / "weighted_replay.py").read_text() == source
    assert clbench(*check)[0] == 0
    assert clbench(*run, "--scenario", "debug")[0] == 0
    assert "weighted-replay (weight=3.0)" in clbench(*report)[1]


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_plugin_is_named(kind: plugins.Kind) -> None:
    for name in plugins.available(kind):
        assert f"`{name}`" in README, name


def test_every_backbone_and_head_is_named() -> None:
    options = {info.name: info for info in infos(ModelOptions)}
    for name in (*options["backbone"].choices, *plugins.available("head")):
        assert f"`{name}`" in README, name


def test_every_verb_and_make_target_is_named_and_exists() -> None:
    from clbench.cli import app

    verbs = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert set(re.findall(r"clbench (run|report|list|show|[a-z]+)\b", " ".join(blocks("") + blocks("sh")))) <= verbs
    for verb in verbs:
        assert f"clbench {verb}" in README
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)) <= targets


def test_every_option_in_a_command_exists() -> None:
    import typer

    from clbench.cli import app

    whole = typer.main.get_command(app)
    known = {
        option
        for command in (whole, *whole.commands.values())  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    used = set(re.findall(r"(?<=\s)(--[a-z][a-z-]*)", "\n".join(re.findall(r"clbench .*", README))))
    assert used and used <= known


def commands() -> list[str]:
    """Every command line in the code blocks of the README and of docs/."""
    texts = [README, *(file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs").glob("*.md")))]
    found = [each for text in texts for each in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    lines = [
        line for language, block in found if language in ("", "sh") for line in block.replace("\\\n", " ").splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if re.match(r"clbench [a-z]", line)))


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize("line", commands())
def test_every_command_is_one_that_the_command_line_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is parsed, and not carried out."""
    import typer

    from clbench.cli import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.toml").write_text("", encoding="utf-8")
    words = list(takewhile(lambda word: word not in (">", "|", "&&"), shlex.split(line, comments=True)))[1:]
    verb = typer.main.get_command(app)
    while words and words[0] in getattr(verb, "commands", {}):
        verb = verb.commands[words.pop(0)]  # type: ignore[attr-defined]
    verb.make_context(line, words)


def test_the_result_table_has_every_strategy() -> None:
    table = [line for line in README.splitlines() if line.startswith("|")]
    named = {line.split("|")[1].strip().split(" ")[0] for line in table}
    assert {"finetune", "er", "ewc", "lwf", "dlfl", "joint"} <= named


def test_exit_codes_are_those_of_the_code() -> None:
    from clbench import errors

    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", README, re.MULTILINE))
    codes = {
        cls.exit_code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ClbenchError)
    }
    assert codes <= {int(code) for code in rows}
