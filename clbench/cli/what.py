"""What the command line, its environment and a file say is to be run: lists, made the runs that they are."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli import complete
from clbench.cli.common import AllowMissing, DataRoot, parse_seeds, parse_settings
from clbench.cli.facts import SCENARIO, STRATEGY
from clbench.cli.usage import TYPED_WRONG
from clbench.errors import UsageError, unknown
from clbench.launch.spec import Spec
from clbench.launch.sweep import Grid, expand
from clbench.running.config import DEFAULT
from clbench.running.recipe import NO_MEMORY

READ = "clbench.file"
"""Where what was read of the configuration file waits in the context."""
SET, CELLS = "set", "cells"
"""Tables of the file."""
LISTS = ("scenario", "strategy", "memory", "head", "seed")
"""Options that take several values: on the command line with commas, in a file as a list as well."""
STATES = ("new", "interrupted", "failed", "diverged")
"""States of runs that `--only` takes; without it all of these are run."""
SHARING = ("run", "sweep", "plan")
"""Verbs that take the same file."""
TYPED = ("COMMANDLINE", "ENVIRONMENT")
"""Where values come from that go before the file's."""


Recipe = Annotated[
    Path | None,
    typer.Option(envvar="CLBENCH_RECIPE", help="Options that `clbench tune` chose: a file, or a folder of them."),
]
Rerun = Annotated[bool, typer.Option("--rerun", help="Start afresh what is done or interrupted.")]
Only = Annotated[
    str | None,
    typer.Option(metavar="STATE,…", help=f"Only runs that are in one of these states now: {', '.join(STATES)}."),
]


@dataclass(frozen=True)
class FromFile:
    """What of a configuration file is no option. settings: its table [set]. cells: its tables [[cells]]."""

    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[Mapping[str, Any]] = ({},)


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Make a TOML file's values the defaults of this command line. Raises UsageError."""
    if file is None:
        return None
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected {file} to be a TOML file but got: {error}.") from error
    settings, cells = values.pop(SET, {}), values.pop(CELLS, [{}])
    context.default_map = _options(f"{file}", values, _keys(context))
    if not isinstance(cells, list) or not cells or not all(isinstance(cell, dict) for cell in cells):
        raise UsageError(f"Expected tables [[{CELLS}]] in {file} but got {cells!r}.")
    context.meta[READ] = FromFile(file, _table(f"{file}", settings), cells)
    return file


def _keys(context: typer.Context) -> list[str]:
    """What a file may say: the options of the verb, and of others that take the same file, which it passes over."""
    verbs = getattr(context.parent.command, "commands", {}) if context.parent else {}
    same = [verbs[name] for name in SHARING if name in verbs] if context.command.name in SHARING else []
    names = [str(p.name) for verb in (context.command, *same) for p in verb.params]
    return [name for name in dict.fromkeys(names) if name not in ("config", "settings", "debug")]


def _options(where: str, values: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Option -> value, as click takes it. Raises UsageError for what is no option, or no value of one."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                unknown(f"key in {where}:", name, [*known, SET], f"Other options stand in its table [{SET}].")
            )
        if isinstance(value, dict) or (isinstance(value, list) and name not in LISTS):
            got = "a table" if isinstance(value, dict) else f"{value!r}"
            raise UsageError(f"Expected {name} in {where} to be a single value but got {got}.")
        listed = ",".join(map(str, value)) if isinstance(value, list) else value
        found[name] = [listed] if name == "strategy" else listed  # which is repeatable
    return found


def _table(where: str, settings: Any) -> Mapping[str, Any]:
    if not isinstance(settings, dict):
        raise UsageError(f"Expected {SET} in {where} to be a table of options but got {settings!r}.")
    return settings


@dataclass(frozen=True)
class What:
    """What is run: scenarios, strategies, and how they are set up; all combinations where several are named."""

    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete.of("scenario"),
            envvar="CLBENCH_SCENARIO",
            help=f"What to learn: names, or paths of files.  [default: {SCENARIO}]",
        ),
    ] = None
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete.of("strategy"),
            envvar="CLBENCH_STRATEGY",
            help=f"How to learn it: names or ./FILE.py; repeatable.  [default: {STRATEGY}]",
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete.of("memory", NO_MEMORY, DEFAULT),
            envvar="CLBENCH_MEMORY",
            help="Replay memories; none, or default: each strategy's own.",
        ),
    ] = None
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete.of("head", DEFAULT),
            envvar="CLBENCH_HEAD",
            help="What labels are scored with, or default: each strategy's own.",
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,…",
            autocompletion=complete.settings,
            help="An option of `clbench show NAME`, of several values each; repeatable.",
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            callback=read_config,
            is_eager=True,
            help="TOML file with these options, [set] and [[cells]] (docs/sweeps.md).",
        ),
    ] = None
    data_root: DataRoot = None
    allow_missing: AllowMissing = False

    def specs(self, context: typer.Context, out: Path, recipe: Path | None = None) -> list[Spec]:
        """Every run of it: of each of the file's [[cells]], all combinations. Raises UsageError and PluginError."""
        return expand([self._grid(each, out) for each in self._tables(context, recipe)])

    def _tables(self, context: typer.Context, recipe: Path | None) -> Iterator[dict[str, Any]]:
        """Of each table of cells, every value: the command line's and the environment's, else the table's own."""
        read: FromFile = context.meta.get(READ, FromFile())
        own = {each.name: getattr(self, each.name) for each in fields(self)} | {"recipe": recipe}
        of_click = {str(p.name): p for p in context.command.params}
        names = [name for name in own if name in of_click and name not in ("config", "settings")]
        typed = {name for name in names if _source(context, name) in TYPED}
        for number, cell in enumerate(read.cells, 1):
            where = f"cells {number} of {read.file}"
            settings = _table(where, cell.get(SET, {}))
            values = _options(where, {key: value for key, value in cell.items() if key != SET}, names)
            try:
                table = {n: _cast(of_click[n], context, v) for n, v in values.items() if n not in typed}
            except TYPED_WRONG as error:
                raise UsageError(f"Expected {where} to be options but got: {error}") from error
            yield own | table | {SET: {**read.settings, **settings, **parse_settings(self.settings)}}

    def _grid(self, table: Mapping[str, Any], out: Path) -> Grid:
        short = {"model.weights": table["weights"], "allow_missing": table["allow_missing"] or None}
        settings = {**table[SET], **{name: value for name, value in short.items() if value is not None}}
        return Grid(
            scenario=_names(table["scenario"], SCENARIO),
            strategy=_names(table["strategy"], STRATEGY),
            memory=[None if name == NO_MEMORY else name for name in _names(table["memory"], DEFAULT)],
            head=_names(table["head"], DEFAULT),
            view=table["view"] if table["limit"] is None else f"{table['view']}+limited:{table['limit']}",
            settings={key: value if isinstance(value, list) else [value] for key, value in settings.items()},
            seeds=parse_seeds(table["seed"]),
            data_root=table["data_root"],
            out=out,
            recipe=table["recipe"],
        )


def _cast(parameter: Any, context: typer.Context, value: Any) -> Any:
    return parameter.process_value(context, value)


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return source.name if source else ""


def _names(given: str | Sequence[str] | None, default: str) -> list[str]:
    parts = [given] if isinstance(given, str) else given or [default]
    return [name.strip() for each in parts for name in each.split(",")]


def chosen_states(only: str | None) -> set[str]:
    """The states that `--only` names; none where it was not given. Raises UsageError."""
    states = set(_names(only, "")) - {""}
    for state in states - set(STATES):
        raise UsageError(unknown("state in --only:", state, STATES))
    return states
