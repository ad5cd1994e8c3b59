"""`clbench sweep`: a list of runs from a file or a grid, carried out as `clbench run` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Device, Json, Keeping, Launched, Out
from clbench.cli.groups import grouped
from clbench.cli.what import Only, Recipe, Rerun, What, chosen_states, read_config
from clbench.files import DEFAULT_OUT


@dataclass(frozen=True)
class Listed(What):
    """What is run: as of `clbench run`, but its file is the argument."""

    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", callback=read_config, is_eager=True, help="TOML file of what is to be run (docs/sweeps.md)."
        ),
    ] = None


@grouped
def sweep(
    context: typer.Context,
    listed: Listed,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    recipe: Recipe = None,
    only: Only = None,
    rerun: Rerun = False,
    json: Json = False,
    *,
    launched: Launched,
    keeping: Keeping,
) -> None:
    """Train and evaluate every run of a file, or of a grid of options; what is done stays, and the rest goes on.

    Example: clbench sweep table.toml --seed 0..4
    """
    states = chosen_states(only)
    specs = listed.specs(context, out, recipe)

    from clbench.cli.launching import launch

    launch(specs, device, keeping, json=json, rerun=rerun, only=states, launched=launched)
