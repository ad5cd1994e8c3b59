"""What `clbench list` and `clbench show` know of what can be named on the command line; JSON-ready."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clbench import plugins
from clbench.data.titles import TITLES
from clbench.errors import UsageError
from clbench.learning.options import TrainOptions
from clbench.models.options import BACKBONES, ModelOptions
from clbench.options import build, infos
from clbench.scenario.builder import ScenarioBuilder, load_builder

PLURALS: dict[plugins.Kind, str] = {
    "scenario": "scenarios",
    "strategy": "strategies",
    "memory": "memories",
    "head": "heads",
}
PLAIN = {"backbones": BACKBONES, "datasets": TITLES}
"""What is listed and is no plugin: name -> what it is."""
LISTED = (*PLURALS.values(), *PLAIN)
SECTIONS = {"train": TrainOptions, "model": ModelOptions}
"""Options that every run has."""
RUNS = "runs"
"""What `clbench list` lists of a store."""
SECTION = "section of options"
SCENARIO, STRATEGY = "digits-seq", "dlfl"
"""What `clbench run` takes where none is named."""


@dataclass(frozen=True)
class Asked:
    """How a card is asked for. settings: the scenario's options. scenario: of a strategy's card; strategy: of a
    scenario's card, for the defaults that a run of both has."""

    settings: Mapping[str, str]
    data_root: Path | None
    scenario: str
    strategy: str


def listed(plural: str) -> list[dict[str, str]]:
    """Name and summary of each; of plugins the module, too, and the command that installs what it needs."""
    if plural in PLAIN:
        return [{"name": name, "summary": summary} for name, summary in PLAIN[plural].items()]
    [kind] = [kind for kind, each in PLURALS.items() if each == plural]
    found = plugins.available(kind).values()
    return [
        {"name": each.name, "summary": each.summary(), "module": each.module, "missing": each.missing} for each in found
    ]


def homes(name: str) -> list[str]:
    """What a name is: kinds of plugins, or a section of options."""
    return [kind for kind in PLURALS if _known(kind, name)] + ([SECTION] if name in SECTIONS else [])


def names() -> list[str]:
    """All that has a card."""
    return [*(known for kind in PLURALS for known in plugins.available(kind)), *SECTIONS]


def facts(kind: Any, name: str, asked: Asked) -> dict[str, Any]:
    """The card of a plugin or of a section. Raises UsageError, PluginError and DataError."""
    if kind == SECTION:
        return _section(name)
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
        card |= _of_scenario(builder, asked) | {"effective": effective(name, asked.strategy, asked.settings)}
    elif kind == "strategy":
        card |= {"head": cls.head, "memory": cls.memory_policy, "joint": cls.joint, "defaults": dict(cls.defaults)}
        card |= {"scenario_defaults": dict(cls.scenario_defaults), "effective": effective(asked.scenario, name)}
    elif kind == "memory":
        card["scenario_defaults"] = dict(cls.scenario_defaults)
    return card


def effective(scenario: str, strategy: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a run takes unless told otherwise: each option's value, and who says so.

    settings: the scenario's options. `refused` alone where the two do not go together.
    """
    from clbench.running.config import resolve

    plugins.find("scenario", scenario), plugins.find("strategy", strategy)
    try:
        config = resolve(
            scenario, strategy, settings={f"scenario.{key}": each for key, each in (settings or {}).items()}
        )
    except UsageError as error:
        return {"scenario": scenario, "strategy": strategy, "refused": str(error)}
    origins, values = config.origins(), config.resolved()["options"]
    return {
        "scenario": scenario,
        "strategy": strategy,
        "memory": config.memory,
        "head": config.head,
        "options": {
            section: {option: {"value": value, "from": origins[section][option]} for option, value in options.items()}
            for section, options in values.items()
        },
    }


def _known(kind: plugins.Kind, name: str) -> bool:
    try:
        return bool(plugins.find(kind, name))
    except UsageError:
        return False


def _section(name: str) -> dict[str, Any]:
    cls = SECTIONS[name]
    description = cls.__doc__ or ""
    return {
        "name": name,
        "kind": SECTION,
        "module": cls.__module__,
        "summary": description.partition("\n")[0],
        "description": description,
        "options": [asdict(info) for info in infos(cls)],
    }


def _of_scenario(builder: ScenarioBuilder, asked: Asked) -> dict[str, Any]:
    """Tasks, protocol and paper; with a data root, what the data say."""
    builder = builder.configured(build(builder.Options, asked.settings), asked.data_root)
    card: dict[str, Any] = {"tasks": builder.tasks(), "tasks_of_seed": builder.seed if builder.seeded else None}
    card |= {"protocol": builder.protocol(), "defaults": dict(builder.defaults)}
    paper = builder.paper()
    card["paper"] = asdict(paper) if paper else None
    if asked.data_root is not None:
        builder.check()
        manifest = builder.build().manifest()
        card |= {"tasks": [task["classes"] for task in manifest["tasks"]], "data": manifest}
    return card
