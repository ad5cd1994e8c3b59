import re
from collections.abc import Callable

import pytest
import typer

from clbench.cli import app

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("line", "said", "verb"),
    [
        ("run --foo", "No such option: --foo", "clbench run"),
        ("run --seed", "Option '--seed' requires an argument", "clbench"),  # click does not say whose
        ("run --checkpoint-minutes x", "Invalid value for '--checkpoint-minutes': ", "clbench run"),
        ("run --limit many", "Invalid value for '--limit' ", "clbench run"),
        ("run --track x", "Invalid value for '--track': ", "clbench run"),
        ("reprt", "No such command 'reprt'", "clbench"),
        ("data inf digits-seq", "No such command 'inf'", "clbench data"),
        ("data info", "Missing argument 'SCENARIO'", "clbench data info"),
        ("list heads a b", "Got unexpected extra argument", "clbench list"),
        ("--foo", "No such option: --foo", "clbench"),
    ],
)
@pytest.mark.parametrize("colour", ["NO_COLOR", "FORCE_COLOR"])
def test_what_is_typed_wrong_is_one_sentence(
    clbench: CommandLine, monkeypatch: pytest.MonkeyPatch, line: str, said: str, verb: str, colour: str
) -> None:
    monkeypatch.setenv(colour, "1")
    code, out, err = clbench(*line.split())
    assert code == 2 and not out and len(err.splitlines()) == 1 and err.startswith(f"clbench: {said}")
    assert f"ee `{verb} --help`." in err and "\33" not in err


def test_help_instead_of_a_verb_is_no_sentence(clbench: CommandLine) -> None:
    for line in ((), ("data",)):
        code, out, err = clbench(*line)
        assert "Commands:" in out + err and "clbench: " not in out + err


def helps() -> list[tuple[str, ...]]:
    """Every command line that prints help."""
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return [(), *((name,) for name in verbs), *(("data", name) for name in verbs["data"].commands)]


@pytest.mark.parametrize("line", helps(), ids=" ".join)
def test_help_fits_80_columns_and_nothing_is_cut_or_eaten(
    clbench: CommandLine, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = clbench(*line, "--help")
    assert code == 0 and not err and max(map(len, out.splitlines())) <= 80
    assert not re.search(r"[a-z,]\.\.\.", out) and "\33" not in out and "╭" not in out
    for example in (text for text in out.split("\n\n") if text.startswith("  Example:")):
        assert "\n" not in example.strip(), example


def test_square_brackets_in_help_stay(clbench: CommandLine) -> None:
    out = " ".join(clbench("run", "--help")[1].split())
    assert "TOML file with these options, [set] and [[cells]]" in out and "[default: digits-seq]" in out
