"""`clbench run`: train and evaluate, one run for each strategy and seed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli import complete
from clbench.cli.common import (
    AllowMissing,
    DataRoot,
    Device,
    Json,
    Keeping,
    Out,
    Settings,
    parse_seeds,
    parse_settings,
)
from clbench.cli.export import Kind
from clbench.cli.groups import grouped
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT
from clbench.launch.spec import Spec
from clbench.running.config import DEFAULT

SETTINGS = "clbench.settings"
"""Where the configuration file's [set] table waits in the context."""


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Make a TOML file's values the defaults of this command line. Raises UsageError."""
    if file is None:
        return None
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected --config to be a TOML file but {file} gave: {error}.") from error
    settings = values.pop("set", {})
    known = {p.name for p in context.command.params if p.name not in ("config", "settings", "debug")}
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                unknown(f"key in {file}:", name, {*known, "set"}, "Other options stand in its table [set].")
            )
        if isinstance(value, dict):
            raise UsageError(f"Expected {name} in {file} to be a single value but got a table.")
    if not isinstance(settings, dict):
        raise UsageError(f"Expected set in {file} to be a table of options but got {settings!r}.")
    context.default_map = values
    context.meta[SETTINGS] = settings
    return file


@dataclass(frozen=True)
class What:
    """What is run: one scenario, strategies, and how they are set up."""

    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.of("scenario"),
            envvar="CLBENCH_SCENARIO",
            help="What to learn: a name, or the path of a file.",
        ),
    ] = "digits-seq"
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete.of("strategy"),
            envvar="CLBENCH_STRATEGY",
            help="How to learn it: a name or ./FILE.py; repeatable.  [default: dlfl]",
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.of("memory", "none"),
            envvar="CLBENCH_MEMORY",
            help="Replay memory, or none.  [default: the strategy's]",
        ),
    ] = None
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.of("head"),
            envvar="CLBENCH_HEAD",
            help="What labels are scored with.  [default: the strategy's]",
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            envvar="CLBENCH_WEIGHTS",
            help="Backbone's initial weights: none, imagenet or FILE.safetensors.",
        ),
    ] = None
    seed: Annotated[str, typer.Option(metavar="SEEDS", envvar="CLBENCH_SEED", help="0, 0..4 or 0,2,5.")] = "0"
    view: Annotated[
        str,
        typer.Option(
            metavar="VIEW",
            envvar="CLBENCH_VIEW",
            help="How much of the scenario: all, limited:N images, first:K tasks, validation:SHARE held out; A+B.",
        ),
    ] = "all"
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", envvar="CLBENCH_LIMIT", help="Short for --view limited:N, a trial of the machinery."),
    ] = None
    settings: Settings = None
    config: Annotated[
        Path | None, typer.Option(callback=read_config, is_eager=True, help="TOML file with these options and [set].")
    ] = None
    data_root: DataRoot = None
    allow_missing: AllowMissing = False

    def specs(self, in_file: Mapping[str, Any], out: Path) -> list[Spec]:
        """Every strategy on every seed. in_file: the configuration file's settings. Raises UsageError."""
        settings: dict[str, Any] = {**in_file, **parse_settings(self.settings)}
        for name, value in {"model.weights": self.weights, "allow_missing": self.allow_missing or None}.items():
            if value is not None:
                settings[name] = value
        memory = DEFAULT if self.memory is None else None if self.memory == "none" else self.memory
        head = DEFAULT if self.head is None else self.head
        view = self.view if self.limit is None else f"{self.view}+limited:{self.limit}"
        return [
            Spec(self.scenario, strategy, memory, head, view, settings, seed, self.data_root, out)
            for strategies in self.strategy or ["dlfl"]
            for strategy in strategies.split(",")
            for seed in parse_seeds(self.seed)
        ]


@grouped
def run(
    context: typer.Context,
    what: What,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    recipe: Annotated[
        Path | None,
        typer.Option(envvar="CLBENCH_RECIPE", help="Options that `clbench tune` chose: a file, or a folder of them."),
    ] = None,
    track: Annotated[Kind | None, typer.Option(help="Show the numbers in a tracker as they come.")] = None,
    rerun: Annotated[bool, typer.Option("--rerun", help="Start afresh what is done or interrupted.")] = False,
    json: Json = False,
    *,
    keeping: Keeping,
) -> None:
    """Train and evaluate: one run for each strategy and seed; goes on with what was interrupted.

    Example: clbench run --scenario digits-seq --strategy er,dlfl --seed 0..2
    """
    specs = [replace(spec, recipe=recipe) for spec in what.specs(context.meta.get(SETTINGS, {}), out)]
    if track:
        from clbench.trackers.export import require

        require(track)

    from clbench.cli.launching import launch

    launch(specs, device, keeping, json=json, rerun=rerun, track=track)
