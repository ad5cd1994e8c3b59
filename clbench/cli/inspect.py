"""`clbench list` and `clbench show`: what there is, and what it is."""

import json as json_
import textwrap
from typing import Annotated

import typer

from clbench.cli import cards, complete, facts
from clbench.cli.common import DataRoot, Debug, Json, Runs, Settings, Store, parse_settings, store_at
from clbench.cli.runs import list_runs, show_run
from clbench.errors import UsageError, unknown
from clbench.terminal import width


def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help=f"{', '.join(facts.LISTED)} or {facts.RUNS}.", show_default=False, autocompletion=complete.listed
        ),
    ] = None,
    json: Json = False,
    store: Store = None,
    runs: Runs = None,
    debug: Debug = False,
) -> None:
    """List what there is to name on the command line, or the runs of a results folder."""
    if kind != facts.RUNS and store is not None:
        raise UsageError(
            f"Expected a results folder with `clbench list {facts.RUNS}` alone but got {store}; leave it out."
        )
    if kind == facts.RUNS:
        list_runs(store_at(store, runs), json)
        return
    if kind is not None and kind not in facts.LISTED:
        raise UsageError(unknown("kind", kind, [*facts.LISTED, facts.RUNS]))
    found = {each: facts.listed(each) for each in facts.LISTED if kind in (None, each)}
    if json:
        print(json_.dumps(found, indent=2))
        return
    names = max((len(entry["name"]) for entries in found.values() for entry in entries), default=0)
    for each, entries in found.items():
        print(each.upper())
        for entry in entries:
            first, later = f"  {entry['name']:{names}}  ", " " * (names + 4)
            print(textwrap.fill(entry["summary"], width(), initial_indent=first, subsequent_indent=later))
            if entry.get("missing"):
                print(f"{later}Not installed: {entry['missing']}")


def show(
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=complete.carded,
            help="A scenario, strategy, memory or head; train or model; a run's folder or HASH/seed0.",
        ),
    ],
    settings: Settings = None,
    data_root: DataRoot = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.of("scenario"),
            help=f"Where a strategy's defaults are told.  [default: {facts.SCENARIO}]",
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.of("strategy"),
            help=f"With what a scenario's are.  [default: {facts.STRATEGY}]",
        ),
    ] = None,
    json: Json = False,
    store: Store = None,
    runs: Runs = None,
    debug: Debug = False,
) -> None:
    """Tell what a scenario, strategy, memory or head is (source, protocol, options, and what a run takes by default),
    which options all runs have (train, model), or what a run was.

    A scenario under other options with --set; with --data-root also its classes and sizes as the data have them.
    """
    homes = facts.homes(name)
    if not homes:
        if show_run(store_at(store, runs), name, json):
            return
        raise UsageError(
            unknown("plugin", name, facts.names(), "See `clbench list`, and `clbench list runs` for runs.")
        )
    wanted = parse_settings(settings)
    for given, flag, kind in (
        (wanted, "--set", "scenario"),
        (strategy, "--strategy", "scenario"),
        (scenario, "--scenario", "strategy"),
    ):
        if given and kind not in homes:
            raise UsageError(f"Expected {flag} with a {kind} but {name} is a {homes[0]}; leave it out.")
    asked = facts.Asked(wanted, data_root, scenario or facts.SCENARIO, strategy or facts.STRATEGY)
    shown = [facts.facts(kind, name, asked) for kind in homes]
    if json:
        print(json_.dumps(shown[0] if len(shown) == 1 else shown, indent=2))
    else:
        print("\n\n".join(cards.text(card) for card in shown))
