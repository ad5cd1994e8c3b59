"""`clbench list` and `clbench show`: what there is, and what it is."""

import json as json_
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from clbench import plugins
from clbench.cli.common import DataRoot, Debug, Json, Runs, Settings, parse_settings
from clbench.cli.runs import list_runs, show_run
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT
from clbench.options import build, infos, is_range
from clbench.scenario.builder import load_builder
from clbench.scenario.tasks import called

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
        print("\n\n".join(_card(card) for card in shown))


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


def _card(card: dict[str, Any]) -> str:
    lines = [f"{card['name']} ({card['kind']}, {card['module']})", "", _paragraphs(card["description"])]
    if card["kind"] == "scenario":
        seed = card["tasks_of_seed"]
        lines += ["", "Tasks" if seed is None else f"Tasks of seed {seed}; every other seed draws its own"]
        if card["tasks"] is None:
            lines.append("  only the data can tell which class is in which task")
        for number, classes in enumerate(card["tasks"] or ()):
            lines.append(_wrapped(f"{number}", ", ".join(classes)))
        lines += ["", "Protocol", *(_wrapped(axis, value) for axis, value in card["protocol"].items())]
        lines += _paper_lines(card["paper"]) if card["paper"] else []
        lines += _data_lines(card["data"]) if "data" in card else []
    if card["kind"] == "strategy":
        lines += ["", f"Head {card['head']}, memory {card['memory'] or 'none'} by default."]
    if card["options"]:
        lines += ["", "Options (--set KEY=VALUE)"]
        for info in card["options"]:
            choices = f" ({', '.join(info['choices'])})" if info["choices"] else ""
            tuned = f"; `clbench tune` tries {_tried(info['search'])}" if info["search"] else ""
            lines.append(_wrapped(f"{info['name']}={info['default']}", f"{info['help']}{choices}{tuned}"))
    defaults = _defaults(card)
    if defaults:
        lines += ["", "Defaults here"]
        lines += [
            _wrapped(scope, ", ".join(f"{name}={value}" for name, value in set_.items())) for scope, set_ in defaults
        ]
    return "\n".join(lines).rstrip()


def _paper_lines(paper: Mapping[str, Any]) -> list[str]:
    """How the paper trained: a setting with several names for one value under the first of them."""
    lines = ["", f"Settings of {paper['name']}"]
    for scope, values in paper["settings"].items():
        first = {name: value[0] if isinstance(value, tuple) else value for name, value in values.items()}
        lines.append(_wrapped(scope, ", ".join(f"{name}={value}" for name, value in first.items())))
    return [*lines, _wrapped("not here", ", ".join(paper["beyond"]))] if paper["beyond"] else lines


def _data_lines(manifest: Mapping[str, Any]) -> list[str]:
    """The sizes of a scenario that was built, and what it is without."""
    of_seed = f" of seed {manifest['drawn']['seed']}" if "drawn" in manifest else ""
    lines = ["", f"Data{of_seed} (manifest {manifest['hash'][:12]})"]
    for number, task in enumerate(manifest["tasks"]):
        images = f"{task['train']:,} training and {task['test']:,} test images"
        lines.append(_wrapped(called(number, task["name"]), f"{len(task['classes'])} classes, {images}"))
    return lines + [_wrapped("note", note) for note in manifest["notes"]]


def _defaults(card: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Where defaults differ: (section or scenario, options)."""
    found = [(section, dict(values)) for section, values in card.get("defaults", {}).items()]
    for scenario, values in card.get("scenario_defaults", {}).items():
        flat = values if card["kind"] == "memory" else {k: v for options in values.values() for k, v in options.items()}
        found.append((f"on {scenario}", flat))
    return found


def _tried(search: tuple[Any, ...]) -> str:
    return "{:g} to {:g}, {}".format(*search) if is_range(search) else ", ".join(map(str, search))


def _paragraphs(text: str) -> str:
    """A docstring at the width of a terminal; indented blocks stay as they are."""
    parts = text.split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else _filled(part) for part in parts)


def _filled(text: str) -> str:
    """A path or the name of a test stays whole, so that it can be copied, even where it is longer than a line."""
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def _wrapped(key: str, value: str) -> str:
    return textwrap.fill(f"{key}: {value}", 80, initial_indent="  ", subsequent_indent="      ")
