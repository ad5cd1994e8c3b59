"""Finds scenarios, strategies, memories and heads: one mechanism for built-in and third-party plugins, and for files.

A distribution declares a *package* of plugins under one of the entry-point groups below; each public module in it that
defines a class of the kind is one plugin, and the file name is its name on the command line (`coco_seq.py` ->
`coco-seq`). Helpers, and modules with a leading underscore, are not listed, but found by name. Listing reads files and
imports nothing: a plugin is imported when it is asked for, so whatever is wrong with one costs that one alone.

A file that is in no package is named by its path (`./mine.py`); its name is then `mine`.

A scenario's module may stand for a family of names (`coco-b0-c10`, `voc-b4-c2` …), and its builder is told which. Two
literals at the module's top level say so: `NAMES`, those that are listed, each with its summary, and where there are
more, `PATTERN`, a regular expression for all of them.

A plugin that imports what may not be installed says so in a literal too: `NEEDS`, module -> what `pip install` takes
for it (`{"avalanche": "clbench[avalanche]"}`). Where one is missing the plugin is listed with the command that installs
it.
"""

import hashlib
import inspect
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.abc import ExecutionLoader
from importlib.metadata import entry_points
from importlib.util import decode_source, module_from_spec, spec_from_loader
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal

from clbench import sources
from clbench.errors import PluginError, UsageError, unknown
from clbench.sources import Source

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
    """Where a plugin stands; nothing of it has been imported.

    pattern: of its family of names, if there is one. rivals: other modules that have its name. file, content: of one
    that was named by its path, the absolute path and the bytes that are run.
    """

    kind: Kind
    name: str
    module: str
    pattern: str | None = None
    rivals: tuple[str, ...] = ()
    file: Path | None = None
    content: bytes | None = None

    @property
    def hidden(self) -> bool:
        return self.module.rsplit(".", 1)[-1].startswith("_") or not self.defined

    @property
    def defined(self) -> bool:
        """Whether the file defines a class of the kind, as far as can be read; True of one that cannot be parsed."""
        _, module, base = KINDS[self.kind]
        return self.source.fault is not None or self.source.defines((module, base))

    @property
    def source(self) -> Source:
        return sources.read(self.module) if self.content is None else sources.parse(self.content, self.module)

    @property
    def filename(self) -> str:
        """The last part of the path that it was named by."""
        return self.file.name if self.file else ""

    @property
    def sha256(self) -> str:
        """Of the content of one that was named by its path."""
        return hashlib.sha256(self.content or b"").hexdigest()

    @property
    def where(self) -> str:
        """What to call it in an error: its module, or its path."""
        return str(self.file or self.module)

    @property
    def missing(self) -> str:
        """The command that installs what it `NEEDS` and is not there; empty where all is. Nothing is imported."""
        absent = [package for module, package in _needs(self.source).items() if not sources.found(module)]
        return shlex.join(["pip", "install", *dict.fromkeys(absent)]) if absent else ""

    def docstring(self) -> str:
        """The module's docstring, read without importing it."""
        return self.source.docstring

    def summary(self) -> str:
        """What its family says of this name, or the docstring's first line; of a file with a syntax error, that."""
        if self.source.fault:
            return self.source.fault
        names = {} if self.content is not None else _family(self.source)[0]
        return names.get(self.name) or self.docstring().partition("\n")[0]


_typed: dict[tuple[Kind, str], Plugin] = {}
"""Plugins that were named by their path: known by their name from then on."""


def available(kind: Kind, *, hidden: bool = False) -> dict[str, Plugin]:
    """Installed plugins by name, sorted by it. What cannot be listed is left out with a warning."""
    found: dict[str, Plugin] = {}
    for module in _modules(KINDS[kind][0]):
        for plugin in _plugins(kind, module):
            known = found.setdefault(plugin.name, plugin)
            if known.module != plugin.module and plugin.defined:
                found[plugin.name] = _beside(known, plugin) if known.defined else plugin
    return {name: found[name] for name in sorted(found, key=_natural) if hidden or not found[name].hidden}


def find(kind: Kind, name: str) -> Plugin:
    """The plugin of that name, hidden ones too, or in the file at that path; see `is_path`.

    A file's plugin is found by its name alone, too, from then on until `read_anew`.

    Raises:
        UsageError: no such name or file; the sentence lists the known ones.
        PluginError: a file without such a plugin, or no plugins at all, which means that clbench is not installed.
    """
    if is_path(name):
        return _from_file(kind, name)
    if (kind, name) in _typed:
        return _typed[kind, name]
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

    What the module prints while it is imported goes to standard error.

    Raises:
        UsageError: no such name.
        PluginError: several modules have the name, or what it needs is not installed, or the module cannot be imported,
            or defines none or several such classes.
    """
    plugin = find(kind, name)
    if plugin.rivals:
        raise PluginError(
            f"Expected one {kind} named {name!r} but got {len(plugin.rivals) + 1}: {plugin.module} and "
            f"{', '.join(plugin.rivals)}; rename one of the files or uninstall its package."
        )
    if plugin.missing:
        absent = [module for module in _needs(plugin.source) if not sources.found(module)]
        raise PluginError(
            f"Expected {' and '.join(absent)} for the {kind} {name!r} but found none; run `{plugin.missing}`."
        )
    _, base_module, base_name = KINDS[kind]
    base = getattr(import_module(base_module), base_name)
    classes = _defined_in(_imported(plugin), base)
    if len(classes) != 1:
        got = ", ".join(cls.__name__ for cls in classes) or "none"
        raise PluginError(f"Expected one subclass of {base_name} in {plugin.where} but got {got}.")
    if inspect.isabstract(classes[0]):
        missing = ", ".join(sorted(classes[0].__abstractmethods__))
        raise PluginError(f"Expected {plugin.where}.{classes[0].__name__} to define {missing}; add what is missing.")
    return classes[0]


def is_path(name: str) -> bool:
    """Whether what was typed is a file's path and no name: it ends with .py or has a separator."""
    return name.endswith(".py") or "/" in name or os.sep in name


def name_of(typed: str) -> str:
    """A plugin's name, whether it was typed or the path of its file."""
    return _called(Path(typed).stem) if is_path(typed) else typed


def read_anew() -> None:
    """Forget the files that were named by their paths, and which packages are installed: all is read again."""
    _typed.clear()
    _declared.cache_clear()


def _from_file(kind: Kind, typed: str) -> Plugin:
    """The plugin in a file, which is read once. Raises UsageError and PluginError."""
    name, file = name_of(typed), Path(typed).absolute()
    if known := _typed.get((kind, name)):
        if known.file != file:
            raise UsageError(f"Expected one {kind} named {name!r} but got {known.file} and {file}; rename one of them.")
        return known
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name):
        raise UsageError(f"Expected a file named like mine.py, for a {kind} named mine, but got {typed!r}; rename it.")
    installed = available(kind, hidden=True).get(name)
    if installed and installed.defined and sources.file_of(installed.module) != file:
        raise UsageError(f"Expected a new name but {name!r} is the {kind} in {installed.module}; rename {typed}.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"Expected a {kind} in {typed} but got: {error.strerror}; `clbench new {kind} {name}` writes one."
        ) from error
    module = f"clbench_file_{hashlib.sha256(content).hexdigest()[:12]}.{file.stem}"
    plugin = Plugin(kind, name, module, file=file, content=content)
    if plugin.source.fault:
        raise PluginError(f"Expected a {kind} in {typed} but got a {plugin.source.fault}.")
    if not plugin.defined:
        raise PluginError(f"Expected a {kind} in {typed}, a class that derives from {KINDS[kind][2]}, but found none.")
    try:
        family, _ = _family(plugin.source)
        _needs(plugin.source)
    except ValueError as error:
        raise PluginError(f"The {kind} in {typed} cannot be used: {error}.") from error
    if family:
        raise PluginError(
            f"Expected one {kind} in {typed} but it stands for a family of NAMES; install it in a package."
        )
    return _typed.setdefault((kind, name), plugin)


def _modules(group: str) -> Iterator[str]:
    """Every module in the packages that are declared under an entry-point group."""
    for value in _declared(group, tuple(sys.path)):
        try:
            spec = sources.spec_of(value)
            if spec is None or spec.submodule_search_locations is None:
                raise ValueError(
                    "expected a package of plugins but it is " + ("not there" if spec is None else "a module")
                )
            modules = [f"{value}.{module.name}" for module in iter_modules(spec.submodule_search_locations)]
        except Exception as error:  # whatever a stranger declares must not break the listing
            _left_out(group, value, error)
        else:
            yield from modules


@cache
def _declared(group: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a group's entry points, by their names. path: where packages are looked for.

    Kept, since every name that is looked up asks for it, and each answer reads the metadata of every package there is.
    """
    declared = sorted((entry_point.name, entry_point.value) for entry_point in entry_points(group=group))
    return tuple(dict.fromkeys(value for _, value in declared))


def _plugins(kind: Kind, module: str) -> list[Plugin]:
    """What a module holds: one plugin, or a family."""
    try:
        names, pattern = _family(sources.read(module))
        _needs(sources.read(module))
    except ValueError as error:
        _left_out(KINDS[kind][0], module, error)
        return []
    return [Plugin(kind, each, module, pattern) for each in names or (_called(module.rsplit(".", 1)[-1]),)]


def _family(source: Source) -> tuple[dict[str, str], str | None]:
    """NAMES and PATTERN; empty and None where there are none. Raises ValueError for what they cannot be."""
    try:
        names, pattern = source.literal("NAMES"), source.literal("PATTERN")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("expected NAMES and PATTERN to be literals but they are computed") from error
    if names is not None and not (
        isinstance(names, dict) and all(isinstance(each, str) for each in sum(names.items(), ()))
    ):
        raise ValueError("expected NAMES to be a dict, name -> summary")
    try:
        re.compile(pattern or "")
    except (re.error, TypeError, RecursionError) as error:
        raise ValueError(f"expected PATTERN to be a regular expression but got {pattern!r}: {error}") from error
    return names or {}, pattern


def _needs(source: Source) -> dict[str, str]:
    """NEEDS; empty where there is none. Raises ValueError for what it cannot be."""
    try:
        needs = source.literal("NEEDS") or {}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("expected NEEDS to be a literal but it is computed") from error
    if not (isinstance(needs, dict) and all(isinstance(each, str) and each for pair in needs.items() for each in pair)):
        raise ValueError("expected NEEDS to be a dict, module -> what `pip install` takes for it")
    return needs


def _beside(known: Plugin, other: Plugin) -> Plugin:
    """A plugin, once another has its name: neither can be loaded."""
    _warn(f"two {KINDS[known.kind][0]} are named {known.name!r}: {known.module} and {other.module}; rename one of them")
    return replace(known, rivals=(*known.rivals, other.module))


def _left_out(group: str, what: str, error: Exception) -> None:
    said = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    _warn(f"{group}: {what} was left out: {said}")


def _warn(message: str) -> None:
    """Said once in a process: Python drops what the same line has said before."""
    warnings.warn(message, stacklevel=1)


def _called(stem: str) -> str:
    """What a file of that name is called on the command line."""
    return stem.lstrip("_").replace("_", "-")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by value: b4 before b10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _imported(plugin: Plugin) -> ModuleType:
    """Raises PluginError."""
    try:
        with redirect_stdout(sys.stderr):
            return import_module(plugin.module) if plugin.content is None else _run(plugin)
    except (Exception, SystemExit) as error:
        hint = (
            "Run from another folder if one here shadows it; --debug shows more"
            if plugin.content is None
            else ("--debug shows more; a file that is named by its path cannot import the files beside it")
        )
        raise PluginError(
            f"The {plugin.kind} {plugin.name!r} could not be imported from {plugin.where}{_origin(plugin)}: "
            f"{type(error).__name__}: {error}. {hint}."
        ) from error


class _Held(ExecutionLoader):
    """Loads the very content that was hashed, whatever the file holds by now."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def get_filename(self, fullname: str) -> str:
        return str(self._plugin.file)

    def get_source(self, fullname: str) -> str:
        return decode_source(self._plugin.content or b"")


@cache
def _run(plugin: Plugin) -> ModuleType:
    """The module of a plugin's content, run once."""
    spec = spec_from_loader(plugin.module, _Held(plugin), origin=str(plugin.file))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    module.__file__ = str(plugin.file)
    sys.modules[plugin.module] = module  # dataclasses, and whoever asks for a class's file, look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[plugin.module]
        raise
    return module


def _defined_in(module: ModuleType, base: type) -> list[type[Any]]:
    members = (member for _, member in inspect.getmembers(module, inspect.isclass))
    return [cls for cls in members if issubclass(cls, base) and cls.__module__ == module.__name__]


def _origin(plugin: Plugin) -> str:
    file = sources.file_of(plugin.module) if plugin.content is None else None
    return f" ({file})" if file else ""
