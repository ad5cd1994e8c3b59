"""Finds scenarios, strategies, memories and heads: one mechanism for built-in and third-party plugins.

A distribution declares a *package* of plugins under one of the entry-point groups below; each public module in it is
one plugin, and the file name is its name on the command line (`coco_seq.py` -> `coco-seq`). A leading underscore hides
a module from listings, not from being asked for by name. Listing imports the packages, never the plugins.

A scenario's module may stand for a family of names (`coco-b0-c10`, `voc-b4-c2` …), and its builder is told which. Two
literals at the module's top level say so: `NAMES`, those that are listed, each with its summary, and where there are
more, `PATTERN`, a regular expression for all of them.
"""

import ast
import inspect
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal

from clbench.errors import PluginError, UsageError, unknown

Kind = Literal["scenario", "strategy", "memory", "head"]

KINDS: dict[Kind, tuple[str, str, str]] = {
    "scenario": ("clbench.scenarios", "clbench.scenario.builder", "ScenarioBuilder"),
    "strategy": ("clbench.strategies", "clbench.learning.strategy", "Strategy"),
    "memory": ("clbench.memories", "clbench.memory", "Memory"),
    "head": ("clbench.heads", "clbench.models.head", "Head"),
}
"""Kind -> entry-point group, and where its base class stands."""


@dataclass(frozen=True)
class Plugin:
    """Where a plugin stands; nothing of it has been imported. pattern: of its family of names, if there is one."""

    kind: Kind
    name: str
    module: str
    pattern: str | None = None

    @property
    def hidden(self) -> bool:
        return self.module.rsplit(".", 1)[-1].startswith("_")

    def docstring(self) -> str:
        """The module's docstring, read without importing it."""
        return ast.get_docstring(_source(self.module)) or ""

    def summary(self) -> str:
        """What its family says of this name, or the docstring's first line."""
        return _literals(self.module)["NAMES"].get(self.name) or self.docstring().partition("\n")[0]


def available(kind: Kind, *, hidden: bool = False) -> dict[str, Plugin]:
    """Plugin name -> plugin, sorted by name.

    A third-party package that cannot be imported is left out with a warning; two plugins of one name raise PluginError.
    """
    group = KINDS[kind][0]
    found: dict[str, Plugin] = {}
    for entry_point in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        try:
            package = import_module(entry_point.value)
        except Exception as error:  # whatever a stranger's package raises must not break the listing
            warnings.warn(f"{group}: {entry_point.value} was left out: {type(error).__name__}: {error}", stacklevel=2)
            continue
        for module in iter_modules(package.__path__):
            for plugin in _plugins(kind, f"{entry_point.value}.{module.name}"):
                known = found.setdefault(plugin.name, plugin)
                if known.module != plugin.module:
                    raise PluginError(
                        f"Expected one {kind} named {plugin.name!r} but got two: {known.module} and {plugin.module}; "
                        "rename one of the files or uninstall its package."
                    )
    return {name: found[name] for name in sorted(found, key=_natural) if hidden or not found[name].hidden}


def find(kind: Kind, name: str) -> Plugin:
    """The plugin of that name, hidden ones too.

    Raises:
        UsageError: no such name; the sentence lists the known ones.
        PluginError: no plugins at all, which means that clbench is not installed.
    """
    plugins = available(kind, hidden=True)
    if not plugins:
        raise PluginError(
            f"Expected installed plugins but found no {kind}; run `pip install -e .` in the checkout first."
        )
    if name in plugins:
        return plugins[name]
    for plugin in plugins.values():
        if plugin.pattern and re.fullmatch(plugin.pattern, name):
            return replace(plugin, name=name)
    listed = [known for known, plugin in plugins.items() if not plugin.hidden]
    raise UsageError(unknown(kind, name, listed, "See `clbench list`."))


def load(kind: Kind, name: str) -> type[Any]:
    """The plugin's class: the one subclass of the kind's base class that its module defines.

    Raises:
        UsageError: no such name.
        PluginError: the module cannot be imported, or defines none or several such classes.
    """
    plugin = find(kind, name)
    _, base_module, base_name = KINDS[kind]
    base = getattr(import_module(base_module), base_name)
    try:
        module = import_module(plugin.module)
    except Exception as error:
        raise PluginError(
            f"The {kind} {name!r} could not be imported from {plugin.module} ({_origin(plugin)}): "
            f"{type(error).__name__}: {error}. Run from another folder if one here shadows it; --debug shows more."
        ) from error
    classes = _defined_in(module, base)
    if len(classes) != 1:
        got = ", ".join(cls.__name__ for cls in classes) or "none"
        raise PluginError(f"Expected one subclass of {base_name} in {plugin.module} but got {got}.")
    if inspect.isabstract(classes[0]):
        missing = ", ".join(sorted(classes[0].__abstractmethods__))
        raise PluginError(f"Expected {plugin.module}.{classes[0].__name__} to define {missing}; add what is missing.")
    return classes[0]


def _plugins(kind: Kind, module: str) -> list[Plugin]:
    """What a module holds: one plugin, or a family."""
    literals = _literals(module)
    name = module.rsplit(".", 1)[-1].lstrip("_").replace("_", "-")
    return [Plugin(kind, each, module, literals["PATTERN"]) for each in literals["NAMES"] or (name,)]


def _source(module: str) -> ast.Module:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ast.Module([], [])
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):  # importing it will tell
        return ast.Module([], [])


def _literals(module: str) -> Mapping[str, Any]:
    """The module's NAMES and PATTERN, without importing it; empty where it has none."""
    found: dict[str, Any] = {"NAMES": {}, "PATTERN": None}
    for statement in _source(module).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            if statement.targets[0].id in found:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by value: b4 before b10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _defined_in(module: ModuleType, base: type) -> list[type[Any]]:
    members = (member for _, member in inspect.getmembers(module, inspect.isclass))
    return [cls for cls in members if issubclass(cls, base) and cls.__module__ == module.__name__]


def _origin(plugin: Plugin) -> str:
    package = import_module(plugin.module.rpartition(".")[0])
    return str(package.__file__ or list(package.__path__))
