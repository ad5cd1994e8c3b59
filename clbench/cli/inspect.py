"""`clbench list` and `clbench show`: what there is, and what it is."""

import json as json_
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench import plugins
from clbench.cli import cards
from clbench.cli.common import DataRoot, Debug, Json, Runs, Settings, parse_settings
from clbench.cli.runs import list_runs, show_run
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT
from clbench.options import build, infos
from clbench.scenario.builder import load_builder

PLURALS: dict[plugins.Kind, str] = {
    "scenario": "scenarios",
    "strategy": "strategies",
    "memory": "memories",
    "head": "heads",
}
RUNS = "runs"


def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="scenarios, strategies, memories, heads or runs.")] = None,
    json: Json = False,
    runs: Runs = DEFAULT_OUT,
    debug: Debug = False,
) -> None:
    """List scenarios, strategies, memories and heads, or the runs of a results folder."""
    if kind == RUNS:
        list_runs(runs, json)
        return
    if kind is not None and kind not in PLURALS.values():
        raise UsageError(unknown("kind", kind, [*PLURALS.values(), RUNS]))
    found = {
        plural: [
            {"name": plugin.name, "summary": plugin.summary(), "module": plugin.module}
            for plugin in plugins.available(singular).values()
        ]
        for singular, plural in PLURALS.items()
        if kind in (None, plural)
    }
    if json:
        print(json_.dumps(found, indent=2))
        return
    width = max((len(entry["name"]) for entries in found.values() for entry in entries), default=0)
    for plural, entries in found.items():
        print(f"{plural.upper()}")
        for entry in entries:
            indent = " " * (width + 4)
            print(
                textwrap.fill(
                    entry["summary"], 80, initial_indent=f"  {entry['name']:{width}}  ", subsequent_indent=indent
                )
            )


def show(
    name: Annotated[str, typer.Argument(help="A scenario, strategy, memory or head; a run's folder or HASH/seed0.")],
    settings: Settings = None,
    data_root: DataRoot = None,
    json: Json = False,
    runs: Runs = DEFAULT_OUT,
    debug: Debug = False,
) -> None:
    """Tell what a scenario, strategy, memory or head is (source, protocol, options with defaults), or what a run was.

    A scenario under other options with --set; with --data-root also its classes and sizes as the data have them.
    """
    homes = [kind for kind in PLURALS if _known(kind, name)]
    if not homes:
        if show_run(runs, name, json):
            return
        names = [known for kind in PLURALS for known in plugins.available(kind)]
        raise UsageError(unknown("plugin", name, names, "See `clbench list`, and `clbench list runs` for runs."))
    wanted = parse_settings(settings)
    if wanted and homes != ["scenario"]:
        raise UsageError(f"Expected --set with a scenario but {name} is a {homes[0]}; leave it out.")
    shown = [_facts(kind, name, wanted, data_root) for kind in homes]
    if json:
        print(json_.dumps(shown[0] if len(shown) == 1 else shown, indent=2))
    else:
        print("\n\n".join(cards.text(card) for card in shown))


def _known(kind: plugins.Kind, name: str) -> bool:
    try:
        return bool(plugins.find(kind, name))
    except UsageError:
        return False


def _facts(kind: plugins.Kind, name: str, settings: Mapping[str, str], data_root: Path | None) -> dict[str, Any]:
    plugin, cls = plugins.find(kind, name), plugins.load(kind, name)
    builder = load_builder(name) if kind == "scenario" else None
    card: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "module": plugin.module,
        "summary": plugin.summary(),
        "description": plugin.docstring(),
        "options": [asdict(info) for info in infos(builder.Options if builder else cls.Options)],
    }
    if builder:
        builder = builder.configured(build(builder.Options, settings), data_root)
        card |= {"tasks": builder.tasks(), "tasks_of_seed": builder.seed if builder.seeded else None}
        card |= {"protocol": builder.protocol(), "defaults": dict(builder.defaults)}
        paper = builder.paper()
        card["paper"] = asdict(paper) if paper else None
        if data_root is not None:
            manifest = builder.build().manifest()
            card |= {"tasks": [task["classes"] for task in manifest["tasks"]], "data": manifest}
    elif kind == "strategy":
        card |= {"head": cls.head, "memory": cls.memory_policy, "joint": cls.joint, "defaults": dict(cls.defaults)}
        card["scenario_defaults"] = dict(cls.scenario_defaults)
    elif kind == "memory":
        card["scenario_defaults"] = dict(cls.scenario_defaults)
    return card
