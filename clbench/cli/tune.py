"""`clbench tune`: choose each method's options with one budget, on training images that are held out."""

import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Device, Keeping
from clbench.cli.groups import grouped
from clbench.cli.what import What
from clbench.errors import UsageError
from clbench.files import DEFAULT_RECIPES, DEFAULT_TRIALS
from clbench.terminal import say


class Sampling(StrEnum):
    """What `--sampler` takes."""

    random = "random"
    optuna = "optuna"


@dataclass(frozen=True)
class Tuned(What):
    """What is tuned: as what is run, but on other seeds and never on test images."""

    seed: Annotated[str, typer.Option(help="Of each trial's runs, apart from the seeds that are reported.")] = "1000"
    view: Annotated[
        str, typer.Option(help="What trials see; one that holds out training images: validation[:SHARE], A+B.")
    ] = "validation"


@grouped
def tune(
    context: typer.Context,
    what: Tuned,
    trials: Annotated[int, typer.Option(min=1, help="Settings that are tried of each strategy.")] = 20,
    sampler: Annotated[Sampling, typer.Option(help="How they are drawn; optuna is an extra.")] = Sampling.random,
    search_seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the trials' run folders.")] = DEFAULT_TRIALS,
    recipes: Annotated[Path, typer.Option(help="Folder of the recipes.")] = DEFAULT_RECIPES,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is of another search.")] = False,
    *,
    keeping: Keeping,
) -> None:
    """Search each strategy's options with the same budget, and write what was found as a recipe for `clbench run`.

    Example: clbench tune --scenario digits-seq --strategy er,ewc --trials 20
    """
    specs = what.specs(context, out)

    from clbench.cli.launching import launching
    from clbench.launch.tune import Search, check_recipe, write_recipe
    from clbench.launch.tune import tune as carry_out

    seeds = tuple(dict.fromkeys(spec.seed for spec in specs))
    searches: dict[Path, Search] = {}
    for spec in specs:
        search = Search(spec, trials, seeds, sampler.value, search_seed)
        first = searches.setdefault(search.file(recipes), search)
        if replace(spec, seed=first.spec.seed) != first.spec:
            raise UsageError(f"Expected one search for {search.file(recipes)} but got several; set each option once.")
    for file, search in searches.items():
        check_recipe(file, search, force)
    how = launching(device, keeping)
    for file, search in searches.items():
        say(f"{search.config.strategy}: {trials} trials of {', '.join(search.space.ranges)} on {search.config.view}")
        done = carry_out(search, how)
        chosen = write_recipe(file, search, done)
        values = ", ".join(f"{key}={value}" for key, value in chosen.settings.items())
        print(f"{file}: trial {chosen.number} of {trials}, mAP {100 * chosen.score:.1f} %, {values}")
        worst = sum(trial.state != "done" for trial in done)
        if worst:
            say(f"{search.config.strategy}: {worst} of {trials} trials diverged or failed; the recipe lists them")
    scenarios = ",".join(dict.fromkeys(spec.scenario for spec in specs))
    say(f"next: clbench run --scenario {scenarios} --strategy … --recipe {shlex.quote(str(recipes))}")
