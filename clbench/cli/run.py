"""`clbench run`: train and evaluate, one run after another."""

from typing import Annotated

import typer

from clbench.cli.common import Device, Json, Keeping, Out
from clbench.cli.export import Kind
from clbench.cli.groups import grouped
from clbench.cli.what import Only, Recipe, Rerun, What, chosen_states
from clbench.files import DEFAULT_OUT


@grouped
def run(
    context: typer.Context,
    what: What,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    recipe: Recipe = None,
    track: Annotated[Kind | None, typer.Option(help="Show the numbers in a tracker as they come.")] = None,
    only: Only = None,
    rerun: Rerun = False,
    json: Json = False,
    *,
    keeping: Keeping,
) -> None:
    """Train and evaluate: a run for each combination of the names, values and seeds; goes on with what was interrupted.

    Example: clbench run --scenario digits-seq --strategy er,dlfl --seed 0..2
    """
    states = chosen_states(only)
    specs = what.specs(context, out, recipe)
    if track:
        from clbench.trackers.export import require

        require(track)

    from clbench.cli.launching import launch

    launch(specs, device, keeping, json=json, rerun=rerun, track=track, only=states)
