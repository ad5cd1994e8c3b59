"""Without Avalanche the rest is as it was, and what needs it says so in one sentence."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import strategies
from clbench import plugins, sources
from clbench.errors import PluginError

CODE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "avalanche":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
import clbench
from clbench.errors import PluginError
from clbench.adapters import avalanche
assert "torch" not in sys.modules
from clbench import *
def asks(what):
    try:
        what()
    except PluginError as error:
        assert "Avalanche but it is not installed; run `pip install 'clbench[avalanche]'`." in str(error), error
    else:
        raise AssertionError("expected PluginError")
asks(lambda: clbench.to_avalanche(None))
asks(lambda: avalanche.record)
asks(lambda: avalanche.AvalancheStrategy)
asks(lambda: avalanche.plugins)
"""


def test_each_name_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sources.found("avalanche"), reason="the extra avalanche is installed")
def test_its_strategies_are_listed_as_not_installed() -> None:
    found = [plugin for name, plugin in plugins.available("strategy").items() if name.startswith("avalanche-")]
    assert len(found) == 6 and all("pip install 'clbench[avalanche]'" in plugin.missing for plugin in found)
    with pytest.raises(PluginError, match="Expected avalanche for the strategy 'avalanche-naive' but found none"):
        plugins.load("strategy", "avalanche-naive")


@pytest.mark.skipif(not sources.found("avalanche"), reason="needs the extra avalanche")
@pytest.mark.parametrize(
    "order", ["avalanche.training, strategies, scenarios", "strategies, scenarios, avalanche.training"]
)
def test_its_top_level_folders_do_not_shadow_ours(order: str) -> None:
    """avalanche-lib installs `tests` and `examples` beside itself."""
    code = f"import {order}, clbench; print(strategies.__file__, scenarios.__file__, clbench.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {Path(file).parents[1] for file in done.stdout.split()} == {Path(strategies.__file__).parents[1]}


def test_nothing_of_ours_imports_a_folder_of_that_name() -> None:
    root = Path(__file__).parents[2]
    for folder in ("clbench", "strategies", "scenarios", "tests", "bench"):
        for file in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                assert not {name.partition(".")[0] for name in names} & {"tests", "examples"}, file
