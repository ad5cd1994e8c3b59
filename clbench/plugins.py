"""Finds scenarios, strategies and memories: one mechanism for built-in and third-party plugins.

A distribution declares a *package* of plugins under one of the entry-point groups below; each public module in it is
one plugin, and the file name is its name on the command line (`coco_seq.py` -> `coco-seq`). A leading underscore hides
a module from listings, not from being asked for by name. Listing imports the packages, never the plugins.
"""

import ast
import inspect
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal

from clbench.errors import PluginError, UsageError, unknown

Kind = Literal["scenario", "strategy", "memory"]

KINDS: dict[Kind, tuple[str, str, str]] = {
    "scenario": ("clbench.scenarios", "clbench.scenario", "ScenarioBuilder"),
    "strategy": ("clbench.strategies", "clbench.strategy", "Strategy"),
    "memory": ("clbench.memories", "clbench.memory", "Memory"),
}
"""Kind -> entry-point group, and where its base class stands."""


@dataclass(frozen=True)
class Plugin:
    """Where a plugin stands; nothing of it has been imported."""

    kind: Kind
    name: str
    module: str

    @property
    def hidden(self) -> bool:
        return self.module.rsplit(".", 1)[-1].startswith("_")

    def docstring(self) -> str:
        """The module's docstring, read without importing it."""
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            return ""
        return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""

    def summary(self) -> str:
        """The docstring's first line."""
        return self.docstring().partition("\n")[0]


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
            plugin = Plugin(kind, module.name.lstrip("_").replace("_", "-"), f"{entry_point.value}.{module.name}")
            known = found.setdefault(plugin.name, plugin)
            if known.module != plugin.module:
                raise PluginError(
                    f"Expected one {kind} named {plugin.name!r} but got two: {known.module} and {plugin.module}; "
                    "rename one of the files or uninstall its package."
                )
    return {name: found[name] for name in sorted(found) if hidden or not found[name].hidden}


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
    if name not in plugins:
        listed = [known for known, plugin in plugins.items() if not plugin.hidden]
        raise UsageError(unknown(kind, name, listed, "See `clbench list`."))
    return plugins[name]


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


def _defined_in(module: ModuleType, base: type) -> list[type[Any]]:
    members = (member for _, member in inspect.getmembers(module, inspect.isclass))
    return [cls for cls in members if issubclass(cls, base) and cls.__module__ == module.__name__]


def _origin(plugin: Plugin) -> str:
    package = import_module(plugin.module.rpartition(".")[0])
    return str(package.__file__ or list(package.__path__))
