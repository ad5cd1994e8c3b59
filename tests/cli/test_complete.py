"""Through the protocol of bash, as `clbench --install-completion` sets it up."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from clbench import plugins
from clbench.models.options import BACKBONES

CommandLine = Callable[..., tuple[int, str, str]]
Completed = Callable[[str], list[str]]


@pytest.fixture
def completed(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Completed:
    """What the shell is offered for the last word of a line, which may be empty."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_CLBENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        code, out, err = clbench()
        monkeypatch.delenv("_CLBENCH_COMPLETE")
        assert code == 0 and not err
        return out.split()

    return complete


def test_names_complete(completed: Completed) -> None:
    assert completed("clbench run --strategy ") == list(plugins.available("strategy"))
    assert completed("clbench run --strategy e") == ["er", "er-ace", "ewc", "exstream"]
    assert completed("clbench run --strategy er,dl") == ["er,dlfl"]
    assert completed("clbench tune --scenario digits") == ["digits-b0-c4", "digits-seq"]
    assert completed("clbench run --memory ") == [*plugins.available("memory"), "none", "default"]
    assert completed("clbench run --head ") == [*plugins.available("head"), "default"]
    assert completed("clbench data verify voc-b0") == ["voc-b0-c4"]
    assert completed("clbench report --scenario coco-s") == ["coco-seq"]
    assert completed("clbench list ba") == ["backbones"]
    assert completed("clbench list ru") == ["runs"]
    assert completed("clbench show mo") == ["model"]
    assert completed("clbench show er --scenario tab") == ["table"]
    assert completed("clbench cite resnet") == ["resnet18", "resnet50", "resnet101"]
    assert completed("clbench cite oc") == ["ocdm"]
    assert completed("clbench pack --strategy ag") == ["agem"]
    assert completed("clbench rerun a.zip --strategy agem") == ["agem"]
    assert set(completed("clbench show ")) >= {"digits-seq", "er", "prs", "linear", "train", "model"}


def test_options_and_backbones_complete(completed: Completed) -> None:
    assert completed("clbench run --set lr") == ["lr="]
    assert completed("clbench run --set backb") == ["backbone=", *(f"backbone={name}" for name in BACKBONES)]


def test_columns_are_those_of_the_store(clbench: CommandLine, completed: Completed) -> None:
    assert completed("clbench report --columns m") == []
    clbench("run", "--scenario", "debug", "--strategy", "finetune", "--out", "mine")
    assert completed("clbench report --columns m") == []
    assert "mAP" in completed("clbench report mine --columns m")
    assert "mAP" in completed("clbench report --runs mine --columns m")
    assert "mAP,CF1" in completed("clbench report mine --columns mAP,C")
    assert "mAP" in completed("clbench compare --runs mine --metric m")


def test_a_broken_package_of_plugins_costs_nothing_else(completed: Completed, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = plugins._declared

    @cache
    def with_a_broken_one(group: str, path: tuple[str, ...]) -> tuple[str, ...]:
        return (*declared(group, path), "no_such_package")

    monkeypatch.setattr(plugins, "_declared", with_a_broken_one)
    assert completed("clbench run --strategy ewc") == ["ewc"]


def test_completion_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import atexit, sys; sys.argv = ['clbench']\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from clbench.cli import main; main()"
    )
    line = {"_CLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "clbench run --strategy e", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | line, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["er", "er-ace", "ewc", "exstream"], "False\n")
