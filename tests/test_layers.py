"""The plan of the floors: which folder of clbench may import which. Imports never climb, and there is no circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HALL = {
    "arrays",
    "checkout",
    "errors",
    "files",
    "lease",
    "lock",
    "options",
    "plugins",
    "randomness",
    "sources",
    "terminal",
}
"""Files of clbench/ itself that everybody may use."""

MAY_IMPORT: dict[str, set[str]] = {
    "data": set(),
    "metrics": set(),
    "store": set(),
    "models": {"data"},
    "scenario": {"data"},
    "memory": {"scenario"},
    "report": {"metrics", "store"},
    "learning": {"data", "memory", "models", "scenario"},
    "running": {"data", "learning", "memory", "metrics", "models", "scenario", "store"},
    "launch": {"learning", "running", "scenario", "store"},
    "testing": {"data", "learning", "memory", "running", "scenario"},
    "adapters": {"data", "learning", "metrics", "models", "running", "scenario", "store"},
    "trackers": {"learning", "running", "store"},
    "cli": {"data", "launch", "learning", "models", "report", "running", "scenario", "store", "testing", "trackers"},
    "scenarios": {"data", "scenario"},
    "strategies": {"adapters", "learning", "memory", "models", "scenario"},
}
"""Folder -> the folders below it that it may import, besides the hall. Nothing else may be imported, not even late."""

UNMIRRORED = {"__init__", "__main__", "arrays"}
"""Modules without a test of their own: packages' fronts, and names of array types."""

LOBBY = {"__init__", "__main__"}
"""Files of clbench/ that look up into the house: its public names, its command line."""


def sources() -> Iterator[Path]:
    for folder in ("clbench", "scenarios", "strategies"):
        yield from (ROOT / folder).rglob("*.py")


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> set[str]:
    """Modules of ours that a file imports, anywhere in it, as dotted names of files."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    known = {module(each) for each in sources()}
    ours = {name for name in found if name.split(".")[0] in ("clbench", "scenarios", "strategies")}
    return {name if name in known else name.rpartition(".")[0] for name in ours}


def floor(name: str) -> str:
    """The folder that a module stands in, or `hall/<file>` for a file of clbench/ itself."""
    parts = name.split(".")
    if parts[0] != "clbench":
        return parts[0]
    if len(parts) > 1 and (ROOT / "clbench" / parts[1]).is_dir():
        return parts[1]
    return f"hall/{parts[1] if len(parts) > 1 else '__init__'}"


def climbs() -> Iterator[str]:
    for file in sources():
        here = floor(module(file))
        if here.startswith("hall/"):
            allowed = set() if here.removeprefix("hall/") not in LOBBY else set(MAY_IMPORT)
        else:
            allowed = MAY_IMPORT.get(here, set())
        for name in sorted(imports(file)):
            there = floor(name)
            below = there.removeprefix("hall/") in HALL if there.startswith("hall/") else there in allowed
            if not below and there != here and name != "clbench":  # `from clbench import __version__`
                yield f"{file.relative_to(ROOT)} imports {name}, and {here} may not import {there}"


@pytest.mark.slow
def test_no_import_climbs() -> None:
    assert list(climbs()) == []


def test_the_table_names_every_folder_and_no_other() -> None:
    folders = {path.parent.name for path in (ROOT / "clbench").glob("*/__init__.py")}
    assert folders | {"scenarios", "strategies"} == set(MAY_IMPORT)
    files = {path.stem for path in (ROOT / "clbench").glob("*.py")}
    assert files == HALL | LOBBY, "a new file stands in a folder, unless everybody may use it"


def test_the_floors_have_an_order() -> None:
    assert len(list(TopologicalSorter(MAY_IMPORT).static_order())) == len(MAY_IMPORT)  # raises CycleError on a circle


@pytest.mark.slow
def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module(file): imports(file) for file in sources()}
    del graph["clbench"]  # its names are imported when they are first used
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_a_climb_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAY_IMPORT, "models", set())
    assert any(line.startswith("clbench/models/features.py imports clbench.data") for line in climbs())


def test_every_module_has_its_mirror() -> None:
    """clbench/<folder>/<module>.py has its tests in tests/<folder>/test_<module>.py."""
    modules = [path.relative_to(ROOT / "clbench") for path in (ROOT / "clbench").rglob("*.py")]
    mirrors = {path: ROOT / "tests" / path.parent / f"test_{path.name}" for path in modules}
    missing = [str(path) for path, mirror in mirrors.items() if path.stem not in UNMIRRORED and not mirror.is_file()]
    assert not missing
