from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from clbench.cli.groups import grouped


@dataclass(frozen=True)
class Size:
    """Two numbers."""

    width: Annotated[int, typer.Option(min=1, help="How wide.")]
    height: Annotated[int, typer.Option(envvar="TEST_HEIGHT")] = 7


@dataclass(frozen=True)
class Manner:
    loud: Annotated[bool, typer.Option("--loud")] = False


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def app(seen: list[Any]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        context: typer.Context,
        file: Annotated[Path, typer.Argument()],
        size: Size,
        colour: Annotated[str, typer.Option()] = "red",
        *,
        manner: Manner,
    ) -> None:
        """Draw it."""
        seen.append((type(context).__name__, file, size, colour, manner))

    return app


def test_a_group_is_made_of_its_options(app: typer.Typer, seen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_HEIGHT", "9")
    assert CliRunner().invoke(app, ["a.png", "--width", "3", "--loud"]).exit_code == 0
    monkeypatch.delenv("TEST_HEIGHT")
    assert CliRunner().invoke(app, ["a.png", "--width", "3", "--colour", "blue"]).exit_code == 0
    assert seen == [
        ("Context", Path("a.png"), Size(3, 9), "red", Manner(True)),
        ("Context", Path("a.png"), Size(3, 7), "blue", Manner()),
    ]


def test_bounds_and_what_has_no_default_hold(app: typer.Typer, seen: list[Any]) -> None:
    assert CliRunner().invoke(app, ["a.png"]).exit_code == 2
    assert CliRunner().invoke(app, ["a.png", "--width", "0"]).exit_code == 2
    assert not seen


def test_options_stand_where_their_group_stands(app: typer.Typer) -> None:
    command = typer.main.get_command(app)
    names = [parameter.name for parameter in command.params]
    assert names[:5] == ["file", "width", "height", "colour", "loud"] and command.help == "Draw it."
