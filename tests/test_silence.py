"""The engine prints nothing: what it has to say goes to listeners, and the command line alone speaks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "clbench"
SILENT = ("running", "store", "launch", "learning", "trackers")
SPEAKS = {"launch/run.py", "learning/engine.py"}
"""May use `clbench.terminal`: the Python API, for those whose listeners do not hear what is said; and the last words
of a process that cannot wait for another one any more."""
WORDING = ("duration",)
"""Of `clbench.terminal`, what makes words of a value and says nothing."""


def words(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that writes to a terminal."""
    imports = [each for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    sys = {each.asname or each.name for each in imports if each.name == "sys"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield "print"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in sys:
            yield from (f"sys.{name}" for name in ("stdout", "stderr") if node.attr in (name, f"__{name}__"))
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names if each.name in ("stdout", "stderr"))
            spoken = [f"{node.module}.{each.name}" for each in node.names if each.name not in WORDING]
            yield from ("clbench.terminal" for name in spoken if "clbench.terminal" in name)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in ("logging", "clbench.terminal", "rich"))


@pytest.mark.parametrize("folder", SILENT)
def test_no_module_of_the_engine_prints(folder: str) -> None:
    files = sorted((PACKAGE / folder).rglob("*.py"))
    assert len(files) > 2
    for file in files:
        found = set(words(ast.parse(file.read_text(encoding="utf-8"))))
        name = file.relative_to(PACKAGE).as_posix()
        assert found <= ({"clbench.terminal"} if name in SPEAKS else set()), name


@pytest.mark.parametrize(
    "text",
    [
        "print(1)",
        "tell = print",
        "import sys\nsys.stderr.write('')",
        "import sys as s\ns.stdout.flush()",
        "from sys import stderr as s",
        "from clbench.terminal import say",
        "from clbench import terminal",
        "import clbench.terminal",
    ],
)
def test_a_word_is_found_out(text: str) -> None:
    assert list(words(ast.parse(text)))
