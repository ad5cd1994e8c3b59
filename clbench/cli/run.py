"""`clbench run`: train and evaluate, one run for each strategy and seed."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli.common import (
    AllowMissing,
    CheckpointMinutes,
    CheckpointSteps,
    DataRoot,
    Debug,
    Device,
    MaxTime,
    Out,
    Settings,
    Workers,
    parse_seeds,
    parse_settings,
)
from clbench.cli.export import Kind
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT
from clbench.launch.spec import DEFAULT, Spec

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


def run(
    context: typer.Context,
    scenario: Annotated[str, typer.Option(envvar="CLBENCH_SCENARIO", help="What to learn.")] = "digits-seq",
    strategy: Annotated[
        list[str] | None, typer.Option(envvar="CLBENCH_STRATEGY", help="How to learn it; repeatable.  [default: dlfl]")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(envvar="CLBENCH_MEMORY", help="Replay memory, or none.  [default: the strategy's]")
    ] = None,
    head: Annotated[
        str | None, typer.Option(envvar="CLBENCH_HEAD", help="linear or dlfl.  [default: the strategy's]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(envvar="CLBENCH_WEIGHTS", help="Backbone's initial weights: none, imagenet or FILE.safetensors."),
    ] = None,
    seed: Annotated[str, typer.Option(envvar="CLBENCH_SEED", help="0, 0..4 or 0,2,5.")] = "0",
    view: Annotated[
        str, typer.Option(envvar="CLBENCH_VIEW", help="How much of the scenario: all, limited:N images, first:K tasks.")
    ] = "all",
    limit: Annotated[
        int | None, typer.Option(envvar="CLBENCH_LIMIT", help="Short for --view limited:N, a trial of the machinery.")
    ] = None,
    settings: Settings = None,
    config: Annotated[
        Path | None, typer.Option(callback=read_config, is_eager=True, help="TOML file with these options and [set].")
    ] = None,
    data_root: DataRoot = None,
    allow_missing: AllowMissing = False,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    track: Annotated[Kind | None, typer.Option(help="Show the numbers in a tracker as they come.")] = None,
    rerun: Annotated[bool, typer.Option("--rerun", help="Start afresh what is done or interrupted.")] = False,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    checkpoint_steps: CheckpointSteps = None,
    max_time: MaxTime = None,
    workers: Workers = 2,
    debug: Debug = False,
) -> None:
    """Train and evaluate: one run for each strategy and seed; goes on with what was interrupted.

    Example: clbench run --scenario digits-seq --strategy er --strategy dlfl --seed 0..2
    """
    wanted: dict[str, Any] = {**context.meta.get(SETTINGS, {}), **parse_settings(settings)}
    for name, value in {"model.weights": weights, "allow_missing": allow_missing or None}.items():
        if value is not None:
            wanted[name] = value
    names = [name for given in strategy or ["dlfl"] for name in given.split(",")]
    seeds = parse_seeds(seed)
    if track:
        from clbench.trackers.export import require

        require(track)

    from clbench.cli.launching import launch
    from clbench.running.execute import How
    from clbench.running.resume import Schedule

    shown = view if limit is None else f"{view}+limited:{limit}"
    chosen = DEFAULT if memory is None else None if memory == "none" else memory
    specs = [
        Spec(scenario, name, chosen, DEFAULT if head is None else head, shown, wanted, number, data_root, out)
        for name in names
        for number in seeds
    ]
    how = How(device, Schedule(checkpoint_minutes, checkpoint_steps), workers, rerun)
    launch(specs, how, max_time=max_time, track=track, debug=debug)
