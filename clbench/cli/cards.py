"""What `clbench show` prints of a scenario, strategy, memory or head: its card as text."""

import textwrap
from collections.abc import Mapping
from typing import Any

from clbench.options import is_range
from clbench.scenario.tasks import called
from clbench.terminal import width


def text(card: dict[str, Any]) -> str:
    """The card of a plugin: what it is, its protocol or contract, and its options."""
    lines = [f"{card['name']} ({card['kind']}, {card['module']})", "", _paragraphs(card["description"])]
    if card["kind"] == "scenario":
        seed = card["tasks_of_seed"]
        lines += ["", "Tasks" if seed is None else f"Tasks of seed {seed}; every other seed draws its own"]
        if card["tasks"] is None:
            lines.append("  only the data can tell which class is in which task")
        for number, classes in enumerate(card["tasks"] or ()):
            lines.append(_wrapped(called(number, str(number)), ", ".join(classes)))
        lines += ["", "Protocol", *(_wrapped(axis, value) for axis, value in card["protocol"].items())]
        lines += _paper_lines(card["paper"]) if card["paper"] else []
        lines += _data_lines(card["data"]) if "data" in card else []
    if card["kind"] == "strategy":
        lines += ["", f"Head {card['head']}, memory {card['memory'] or 'none'} by default."]
    if card["options"]:
        lines += ["", "Options (--set KEY=VALUE)"]
        for info in card["options"]:
            tuned = f"; `clbench tune` tries {_tried(info['search'])}" if info["search"] else ""
            lines.append(
                _wrapped(f"{info['name']}={_shown(info['default'])}", f"{info['help']}{_allowed(info)}{tuned}")
            )
    defaults = _defaults(card)
    if defaults:
        lines += ["", "Defaults here"]
        lines += [
            _wrapped(scope, ", ".join(f"{name}={value}" for name, value in set_.items())) for scope, set_ in defaults
        ]
    lines += _effective(card["effective"]) if "effective" in card else []
    return "\n".join(lines).rstrip()


def _allowed(info: Mapping[str, Any]) -> str:
    """Choices and bounds of an option, in brackets."""
    bounds = [f"{bound.replace('_', ' ')} {value:g}" for bound, value in info["bounds"].items()]
    allowed = [*info["choices"], *bounds]
    return f" ({', '.join(allowed)})" if allowed else ""


def _effective(run: Mapping[str, Any]) -> list[str]:
    """What a run takes unless told otherwise: first what it begins from, then every option, with who says so."""
    of_run = f"clbench run --scenario {run['scenario']} --strategy {run['strategy']}"
    if "refused" in run:
        return ["", _wrapped(f"`{of_run}` is refused", run["refused"])]
    model = {option: each["value"] for option, each in run["options"]["model"].items()}
    begins = "random weights" if model["weights"] == "none" else f"{model['weights']} weights"
    lines = ["", _filled(f"What `{of_run}` takes (in brackets who says so; else it is the option's own default)")]
    lines.append(_wrapped("backbone", f"{model['backbone']} from {begins}"))
    for section, options in run["options"].items():
        said = [f"{option}={_value(each)}" for option, each in options.items()]
        title = f"{section} {run[section]}" if section in ("memory", "head") else section
        lines += [_wrapped(title, ", ".join(said))] if said else []
    return lines


def _value(told: Mapping[str, Any]) -> str:
    value = _shown(told["value"])
    return f"{value} ({told['from']})" if told["from"] else value


def _shown(value: Any) -> str:
    return "''" if value == "" else str(value)


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
    return textwrap.fill(text, width(), break_long_words=False, break_on_hyphens=False)


def _wrapped(key: str, value: str) -> str:
    return textwrap.fill(f"{key}: {value}", width(), initial_indent="  ", subsequent_indent="      ")
