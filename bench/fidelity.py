"""docs/fidelity.md: of every built-in plugin and metric its source, what was matched, what differs, what was never run.

    python bench/fidelity.py

All of it stands in the modules' docstrings, as paragraphs that begin with the words of PARTS. A claim names the tests
that show it behind it, in brackets: `(tests/models/test_losses.py::test_bce_worked_by_hand)`. Its tolerance (`within
1e-6`) and its number of samples (`over 10,000 samples`) must stand in one of these tests, or in a function of the same
file that it calls.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clbench import plugins
from clbench.cli.facts import PLURALS
from clbench.files import write_bytes

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
PARTS = ("Source", "Matched", "Differs", "Never run")
OURS = ("clbench.", "scenarios.", "strategies.")
METRICS = ("ranking", "thresholded", "forgetting")

TEST = r"tests/[\w/]+\.py::\w+"
CITED = re.compile(rf"\(({TEST}(?:, {TEST})*)\)")
NUMBER = re.compile(r"\b(?:within|over) (\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)")

HEAD = """\
# What was matched

How far each built-in strategy, memory and head, and some scenarios and metrics, are known to be what their source says:
where they come from and what of it was read, which formula or other implementation they were compared with and how
closely, where they differ, and what was never run. `clbench show NAME` prints the same. Behind a claim stand the tests
that show it; `python -m pytest NODE` runs one. "Bit for bit" and all numbers hold on a CPU.

Nothing here has been run on a GPU, and no strategy has been trained on COCO, VOC or NUS-WIDE in full. No published
number has been reproduced.

Made from the docstrings by `python bench/fidelity.py`; `tests/test_fidelity.py` holds both together.
"""


@dataclass(frozen=True)
class Entry:
    """One plugin or metric. parts: the word that a paragraph begins with -> the rest of it."""

    kind: str
    name: str
    parts: dict[str, str]


@dataclass(frozen=True)
class Claim:
    """What is said, and the node ids of the tests that show it."""

    text: str
    tests: tuple[str, ...]


def parts(docstring: str) -> dict[str, str]:
    """The paragraphs that begin with one of the words, on one line each."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in docstring.split("\n\n")]
    return {
        word: paragraph.removeprefix(f"{word}: ")
        for word in PARTS
        for paragraph in paragraphs
        if paragraph.startswith(f"{word}: ")
    }


def claims(text: str) -> list[Claim]:
    """What stands between one mention of tests and the next, with the tests behind it."""
    pieces = CITED.split(text)
    return [Claim(said, tuple(tests.split(", "))) for said, tests in zip(pieces[::2], pieces[1::2], strict=False)]


def entries() -> Iterator[Entry]:
    """Every built-in plugin, a family of scenarios once; then the metrics."""
    for kind, plural in PLURALS.items():
        seen = set()
        for name, plugin in plugins.available(kind).items():
            if plugin.module.startswith(OURS) and plugin.module not in seen:
                seen.add(plugin.module)
                file = plugin.module.rpartition(".")[2].replace("_", "-")
                yield Entry(plural, name if kind != "scenario" else file, parts(plugin.docstring()))
    for module in METRICS:
        source = (ROOT / "clbench" / "metrics" / f"{module}.py").read_text(encoding="utf-8")
        yield Entry("metrics", module, parts(ast.get_docstring(ast.parse(source)) or ""))


def refuted(claim: Claim) -> list[str]:
    """What is wrong with a claim: a test that is not there, or a number that none of its tests has."""
    found = [f"{test} does not exist" for test in claim.tests if _function(test) is None]
    known = {number for test in claim.tests for number in _numbers(test)}
    for number in NUMBER.findall(claim.text):
        if float(number.replace(",", "")) not in known:
            found.append(f"{number} stands in none of {', '.join(claim.tests)}")
    return found


def page() -> str:
    """The whole page."""
    lines, kind = [HEAD], ""
    for entry in entries():
        if not entry.parts:
            continue
        if entry.kind != kind:
            kind = entry.kind
            lines.append(f"## {kind.capitalize()}\n")
        lines.append(f"### `{entry.name}`\n")
        lines += [f"**{word}:** {_marked(text)}\n" for word, text in entry.parts.items()]
    return "\n".join(lines)


def _marked(text: str) -> str:
    """With the tests as code."""
    return re.sub(TEST, lambda match: f"`{match[0]}`", text)


@cache
def _functions(file: str) -> dict[str, ast.FunctionDef]:
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _function(test: str) -> ast.FunctionDef | None:
    file, _, name = test.partition("::")
    return _functions(file).get(name)


def _numbers(test: str) -> set[float]:
    """Every number in a test and in the functions of its file that it calls."""
    body = _function(test)
    if body is None:
        return set()
    names = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
    helpers = [node for name, node in _functions(test.partition("::")[0]).items() if name in names]
    values: list[Any] = [
        node.value for each in (body, *helpers) for node in ast.walk(each) if isinstance(node, ast.Constant)
    ]
    return {float(value) for value in values if isinstance(value, int | float)}


if __name__ == "__main__":
    write_bytes(PAGE, page().encode())
    print(PAGE)
