"""What is typed wrong, in one sentence, as every other error; and verbs listed with their whole first sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from clbench.errors import UsageError

NAME = "clbench"
TYPED_WRONG: type[Exception] = typer.BadParameter.__mro__[1]
"""`click.UsageError`, which typer brings along under one name or another."""
HELP_INSTEAD = "NoArgsIsHelpError"
"""The one kind of it that is no error: a group of verbs without a verb prints its help."""


class Verbs(TyperGroup):
    """A group of verbs. Of the command line as a whole, it makes click's errors ours."""

    def main(self, *args: Any, **more: Any) -> Any:
        """As `clbench`, however it was started: help and completion go by that name."""
        return super().main(*args, **more | {"prog_name": NAME})

    def make_context(self, *args: Any, **more: Any) -> Any:
        with in_one_sentence():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        with in_one_sentence():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each verb with the first paragraph of its help, wrapped and not cut."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first(verb.help or "")) for name, verb in verbs if verb])


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Raises UsageError for what click says of a command line that it cannot read."""
    try:
        yield
    except TYPED_WRONG as error:
        if type(error).__name__ == HELP_INSTEAD:
            raise
        raise UsageError(sentence(error)) from error


def sentence(error: Any) -> str:
    """What click says, on one line, and where the help is."""
    said = " ".join(error.format_message().split())
    verb = error.ctx.command_path if error.ctx else NAME
    return f"{said} See `{verb} --help`." if said.endswith("?") else f"{said.rstrip('.')}; see `{verb} --help`."


def _first(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
