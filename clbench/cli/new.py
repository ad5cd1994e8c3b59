"""`clbench new`: a plugin's file to begin from, which runs as it is."""

from pathlib import Path
from typing import Annotated

import typer

from clbench import plugins
from clbench.cli.common import Debug, parse_kind
from clbench.errors import StoreError, UsageError
from clbench.terminal import say

TEMPLATES = Path(__file__).parent.parent / "testing" / "templates"


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="strategy, scenario, memory or head.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, e.g. mine; the file is mine.py.")],
    debug: Debug = False,
) -> None:
    """Write NAME.py into this folder: a small strategy, scenario, memory or head that runs as it is.

    Example: clbench new strategy mine
    """
    of, stem = parse_kind(kind), name.replace("-", "_")
    if not stem.isascii() or not stem.isidentifier() or stem.startswith("_"):
        raise UsageError(
            f"Expected a name like mine or my-{kind} but got {name!r}; letters, digits and dashes make one."
        )
    file = Path(f"{stem}.py")
    if installed := plugins.available(of, hidden=True).get(plugins.name_of(file.name)):
        raise UsageError(f"Expected a new name but {name!r} is the {kind} in {installed.module}; choose another.")
    try:
        with open(file, "x", encoding="utf-8") as opened:
            opened.write((TEMPLATES / f"{kind}.py.txt").read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UsageError(f"Expected to write {file} but it is there already; choose another name.") from error
    except OSError as error:
        raise StoreError(f"Expected to write {file} but got: {error.strerror}; go to another folder.") from error
    print(file)
    say(f"next: clbench check {file}")
    say(f"      clbench run --{kind} ./{file}{' --strategy er' if kind == 'memory' else ''}")
