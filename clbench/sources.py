"""Python files as text: where a module stands, and what it says at its top level. Nothing of it is run."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIBRARIES = frozenset({"torch", "numpy", "abc", "typing", "enum", "dataclasses", "avalanche"})
"""Packages that derive nothing from clbench: their files, some of them long, are not looked into."""

Name = tuple[str, str]
"""A module, and a name in it."""


@dataclass(frozen=True, eq=False)
class Source:
    """A Python file that was read.

    module: its dotted name. package: what its relative imports begin from. fault: why it cannot be parsed; then the
    tree is empty.
    """

    module: str
    package: str
    tree: ast.Module
    fault: str | None = None

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def literal(self, name: str) -> Any:
        """What a name is set to at the top level; None where it is not set. Raises ValueError where it is computed."""
        value = None
        for statement in self.tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                expression = getattr(statement, "value", None)
                value = None if expression is None else ast.literal_eval(expression)
        return value

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """Class at the top level -> its bases, dotted as they are written."""
        found = (statement for statement in self.tree.body if isinstance(statement, ast.ClassDef))
        return {each.name: [ast.unparse(base).partition("[")[0] for base in each.bases] for each in found}

    @cached_property
    def imports(self) -> dict[str, str]:
        """Name -> what it was imported as, dotted and whole: `{"Strategy": "clbench.Strategy"}`."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    top = each.name.partition(".")[0]
                    found[each.asname or top] = each.name if each.asname else top
            elif isinstance(node, ast.ImportFrom):
                found |= {each.asname or each.name: f"{self._from(node)}.{each.name}" for each in node.names}
        return found

    @cached_property
    def stars(self) -> list[str]:
        """Modules of which everything is imported."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom)]
        return [self._from(node) for node in nodes if node.names[0].name == "*"]

    def defines(self, base: Name) -> bool:
        """Whether a class at the top level derives from the base, by way of other classes and modules too."""
        return _defines(self, base)

    def _from(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.package.rsplit(".", node.level - 1)[0] if node.level > 1 else self.package
        return f"{package}.{node.module}" if node.module else package


def spec_of(module: str) -> ModuleSpec | None:
    """Where a module stands; None where there is none. Unlike `importlib.util.find_spec` it imports no package."""
    parts = module.split(".")
    spec = find_spec(parts[0])
    for length in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:length]), spec.submodule_search_locations)
    return spec


def file_of(module: str) -> Path | None:
    """A module's Python file; None where there is none, or no such module."""
    try:
        spec = spec_of(module)
    except (ImportError, ValueError, OSError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def found(module: str) -> bool:
    """Whether there is such a module to import; it is not imported, nor is its package."""
    try:
        return spec_of(module) is not None
    except (ImportError, ValueError, OSError):
        return False


def read(module: str) -> Source:
    """A module's source, parsed once for as long as the file stays as it is; empty where there is no such file."""
    file = file_of(module)
    try:
        status = file.stat() if file else None
    except OSError:
        status = None
    if file is None or status is None:
        return parse(b"", module)
    return _read(module, file, status.st_mtime_ns, status.st_size)


@cache
def _defines(source: Source, base: Name) -> bool:
    return any(_derives(source, name, base, set()) for name in source.classes)


@cache
def _read(module: str, file: Path, changed: int, size: int) -> Source:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        return parse(file.read_bytes(), module, package)
    except OSError as error:
        return Source(module, package, ast.Module([], []), f"cannot be read: {error.strerror}")


@cache
def parse(content: bytes, module: str, package: str = "") -> Source:
    """A file's source from its bytes."""
    try:
        return Source(module, package, ast.parse(content))
    except SyntaxError as error:
        return Source(module, package, ast.Module([], []), f"syntax error in line {error.lineno}: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return Source(module, package, ast.Module([], []), f"syntax error: {error}")


def _derives(source: Source, name: str, base: Name, seen: set[Name]) -> bool:
    """Whether a name in a module is the base, or a class that derives from it. seen: what was asked already."""
    here = (source.module, name)
    if here == base:
        return True
    if here in seen or source.module.partition(".")[0] in LIBRARIES:
        return False
    seen.add(here)
    return any(_leads(source, dotted, base, seen) for dotted in source.classes.get(name, [name]))


def _leads(source: Source, dotted: str, base: Name, seen: set[Name]) -> bool:
    """Whether what a module calls so comes to the base."""
    first, *rest = dotted.split(".")
    if first in source.imports:
        module, _, name = ".".join([source.imports[first], *rest]).rpartition(".")
        if (module, name) == base:
            return True
        return module.partition(".")[0] not in LIBRARIES and _derives(read(module), name, base, seen)
    if first in source.classes:
        return _derives(source, first, base, seen)
    return any(_derives(read(star), first, base, seen) for star in source.stars)
