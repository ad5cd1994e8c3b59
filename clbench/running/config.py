"""What a run is: scenario, strategy, memory and every option, fully resolved.

Options come in five sections; a setting names its option alone (`lr=1e-3`), or with its section where two sections have
the name (`memory.size=400`). Precedence, low to high: the dataclass default; the scenario's, the memory's, the
strategy's default, and the strategy's for that scenario; a recipe (see `clbench.running.recipe`); then what the user
set.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any

from clbench import plugins
from clbench.errors import UsageError, unknown
from clbench.learning.options import TrainOptions
from clbench.learning.world import world
from clbench.models import ModelOptions
from clbench.options import OptionInfo, build, identity, infos, names
from clbench.plugins import Plugin
from clbench.running.defaults import layered
from clbench.running.recipe import Recipe, recipe_for
from clbench.scenario.builder import load_builder
from clbench.scenario.views import ALL, canonical
from clbench.store.folder import SCHEMA, short_hash

DEFAULT = "default"
"""Stands for the strategy's own choice of memory or head."""
CHOSEN = {"scenario": "--scenario", "strategy": "--strategy", "memory": "--memory", "head": "--head", "view": "--view"}
"""What is no option of a section: where it is chosen on the command line."""


@dataclass(frozen=True)
class Config:
    """A resolved run, without its seed.

    options: section (`scenario`, `strategy`, `memory`, `head`, `model`, `train`) -> options dataclass; `memory` only
        if there is one.
    changed: what the user, or a recipe, chose otherwise than the defaults, for labels in tables.
    given: `section.option` -> value of what the user set, as it is among the options: how a run came to be what it is,
        and no part of that.
    recipe: what the rest of `changed` is from. It is no part of the hash: its settings are.
    files: kind -> the plugin, of those that were named by the path of a file; its name stands where others' do.
    """

    scenario: str
    strategy: str
    memory: str | None
    head: str
    view: str
    options: Mapping[str, Any]
    changed: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict, compare=False)
    recipe: Recipe | None = None
    files: Mapping[str, Plugin] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        options = {section: asdict(options) for section, options in self.options.items()}
        return {
            "schema": SCHEMA,
            "scenario": self.scenario,
            "strategy": self.strategy,
            "memory": self.memory,
            "head": self.head,
            "view": self.view,
            "options": options,
            "changed": dict(self.changed),
            **({"recipe": self.recipe.record(options)} if self.recipe else {}),
            **({"plugins": self._files()} if self.files else {}),
        }

    def _files(self) -> dict[str, Any]:
        return {kind: {"file": plugin.filename, "sha256": plugin.sha256} for kind, plugin in self.files.items()}

    def origins(self) -> dict[str, dict[str, str]]:
        """Section -> option -> who says its value: `set`, `recipe`, a layer of `clbench.running.defaults`, or nobody.

        An empty text stands for the default of the option itself.
        """
        layers = layered(self.scenario, self.strategy, self.memory, self.head)
        cooked = self.recipe.settings if self.recipe else {}

        def source(section: str, option: str) -> str:
            key = f"{section}.{option}"
            return (
                "set" if key in self.given else "recipe" if key in cooked else layers[section].get(option, ("", ""))[1]
            )

        return {
            section: {option: source(section, option) for option in names(type(options))}
            for section, options in self.options.items()
        }

    def identity(self, *, scenario_name: str, data: str, weights: Mapping[str, Any]) -> dict[str, Any]:
        """All that makes the numbers what they are, JSON-ready; `clbench.store.folder.short_hash` of it is the hash.

        data: the manifest's hash. weights: the record of the initial weights. Of options only what
        `clbench.options.identity` gives, so that a new one at its neutral value leaves finished runs what they are.
        """
        return {
            "schema": SCHEMA,
            "scenario": scenario_name,
            "strategy": self.strategy,
            "memory": self.memory,
            "head": self.head,
            "view": self.view,
            "options": {section: identity(options) for section, options in self.options.items()},
            "data": data,
            "weights": {"source": weights["source"], "sha256": weights["sha256"]},
            **({"plugins": {kind: plugin.sha256 for kind, plugin in self.files.items()}} if self.files else {}),
        }

    def hash(self, *, scenario_name: str, data: str, weights: Mapping[str, Any]) -> str:
        """Twelve hexadecimal digits for `identity`."""
        return short_hash(self.identity(scenario_name=scenario_name, data=data, weights=weights))


def resolve(
    scenario: str,
    strategy: str,
    *,
    memory: str | None = DEFAULT,
    head: str = DEFAULT,
    view: str = ALL,
    settings: Mapping[str, Any] | None = None,
    recipe: Path | None = None,
) -> Config:
    """Find the plugins, put the layers of options together and check that they go together.

    scenario, strategy, memory, head: a name, or the path of a file, see `clbench.plugins.is_path`.
    view: how much of the scenario, see `clbench.scenario.views`. settings: option -> value (text or typed), e.g.
    ``{"lr": "1e-3", "memory.size": 400}``; `ranks` is as many as share this process's runs where it is left out.
    recipe: a recipe's file, or a folder that holds this method's.

    Raises:
        UsageError: an unknown name or option, a bad value, a combination that the strategy refuses, or a recipe that is
            not there or another's.
        PluginError: a plugin that cannot be loaded.
    """
    chosen, found, sections = _parts(scenario, strategy, memory, head)
    scenario, strategy, head = (found[kind].name for kind in ("scenario", "strategy", "head"))
    policy = found["memory"].name if "memory" in found else None
    layers = layered(scenario, strategy, policy, head)
    defaults = {section: {option: value for option, (value, _) in layers[section].items()} for section in sections}
    wanted = _by_section(settings or {}, sections, policy)
    if world().size > 1:
        wanted["train"].setdefault("ranks", world().size)
    cooked = None if recipe is None else recipe_for(recipe, scenario, strategy, head, policy)
    chosen_by_it = _by_section(cooked.settings if cooked else {}, sections, policy)
    options: dict[str, Any] = {
        name: build(cls, defaults[name] | chosen_by_it[name] | wanted[name]) for name, cls in sections.items()
    }
    plain: dict[str, Any] = {name: build(cls, defaults[name]) for name, cls in sections.items()}
    reason = chosen.incompatible(scenario=scenario, head=head, memory=policy)
    if reason:
        raise UsageError(f"{reason[0].upper()}{reason[1:]}.")
    changed: dict[str, Any] = {} if policy == chosen.memory_policy else {"memory": policy or "none"}
    changed |= {} if head == chosen.head else {"head": head}
    changed |= _changed(options, plain)
    given = {f"{name}.{option}": getattr(options[name], option) for name in sections for option in wanted[name]}
    files = {kind: plugin for kind, plugin in found.items() if plugin.file}
    return Config(scenario, strategy, policy, head, canonical(view), options, changed, given, cooked, files)


def options_of(
    scenario: str, strategy: str, *, memory: str | None = DEFAULT, head: str = DEFAULT
) -> dict[str, OptionInfo]:
    """`section.option` -> what it is, of every option that such a run has. Raises UsageError and PluginError."""
    _, _, sections = _parts(scenario, strategy, memory, head)
    return {f"{section}.{info.name}": info for section, cls in sections.items() for info in infos(cls)}


def _parts(
    scenario: str, strategy: str, memory: str | None, head: str
) -> tuple[type[Any], dict[str, Plugin], dict[str, type]]:
    """The strategy's class, the plugin of each kind, and section -> the class of its options."""
    builder, chosen = load_builder(scenario), plugins.load("strategy", strategy)
    policy = chosen.memory_policy if memory == DEFAULT else memory
    found = {
        "scenario": plugins.find("scenario", scenario),
        "strategy": plugins.find("strategy", strategy),
        "head": plugins.find("head", chosen.head if head == DEFAULT else head),
        **({"memory": plugins.find("memory", policy)} if policy else {}),
    }
    classes = {
        "scenario": builder.Options,
        "strategy": chosen.Options,
        "memory": plugins.load("memory", found["memory"].name).Options if policy else None,
        "head": plugins.load("head", found["head"].name).Options,
        "model": ModelOptions,
        "train": TrainOptions,
    }
    return chosen, found, {section: cls for section, cls in classes.items() if cls is not None}


def _changed(options: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value, where it is not the default."""
    changed = {}
    for section in ("strategy", "memory", "head", "model", "train"):  # the scenario's stand in the protocol
        for option in names(type(options[section])) if section in options else ():
            value = getattr(options[section], option)
            if value != getattr(plain[section], option):
                # of a path only its last part, so that labels are the same on every machine
                changed[option] = PurePath(value).name if _is_path(type(options[section]), option) else value
    return changed


def _is_path(cls: Any, option: str) -> bool:
    return any(f.name == option and f.metadata.get("path") for f in fields(cls))


def _by_section(
    settings: Mapping[str, Any], sections: Mapping[str, type], policy: str | None
) -> dict[str, dict[str, Any]]:
    known = {(section, option) for section, cls in sections.items() for option in names(cls)}
    sorted_out: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for key, value in settings.items():
        if key in CHOSEN:
            raise UsageError(f"Expected {CHOSEN[key]} {value} but got --set {key}={value}; {key} is no option.")
        section, _, option = key.rpartition(".")
        homes = sorted(s for s, o in known if o == option and section in ("", s))
        if not homes:
            hint = "" if policy else "This run has no memory, so there are no memory options."
            raise UsageError(unknown("option", key, {f"{s}.{o}" if section else o for s, o in known}, hint))
        if len(homes) > 1:
            raise UsageError(f"Expected one of {', '.join(f'{s}.{option}' for s in homes)} but got {key!r}; name one.")
        sorted_out[homes[0]][option] = value
    return sorted_out
