import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from clbench.cli import doctor
from clbench.running import fitting

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def nothing_is_wrong_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine has installed."""
    monkeypatch.setattr(fitting, "misfits", lambda: iter(()))
    monkeypatch.setattr(doctor, "DRIVER", tmp_path / "no driver")


@pytest.mark.slow
def test_what_there_is_in_words_and_as_json(clbench: CommandLine, tmp_path: Path) -> None:
    clbench("run", "--scenario", "debug", "--strategy", "er", "--seed", "0..1")
    [*_, status] = (tmp_path / "results" / "runs").rglob("status.json")
    status.write_text("{")
    (tmp_path / "data" / "annotations").mkdir(parents=True)
    code, out, _ = clbench("doctor", "--data-root", "data", "--json")
    found = json.loads(out)
    assert code == 0 and found["misfits"] == []
    assert found["versions"]["torch"] == version("torch") and found["machine"]["threads"] == torch.get_num_threads()
    assert found["stores"] == {"results/runs": {"done": 1, "unreadable": 1}}
    assert found["data"]["coco-seq"] and "digits-seq" not in found["data"]
    assert "pyarrow" in found["extras"]["parquet"]
    code, out, _ = clbench("doctor")
    assert code == 0 and ("results/runs: 1 done, 1 unreadable" in out or "results/runs: 1 unreadable, 1 done" in out)
    assert "Data: no --data-root" in out and out.endswith("All fits together.\n")


def test_what_does_not_fit_is_code_1(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "misfits", lambda: iter(["torchvision 1 needs torch==1 but 2 is installed"]))
    code, out, _ = clbench("doctor")
    assert code == 1 and out.endswith("What does not fit\n  torchvision 1 needs torch==1 but 2 is installed\n")


def test_a_driver_that_torch_cannot_use_is_said(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no driver").write_text("there")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, out, _ = clbench("doctor")
    assert code == 1 and "the machine has an NVIDIA driver but torch cannot use it" in out


def test_plugins_that_cannot_be_loaded_are_said(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sick"
    package.mkdir()
    (package / "mine.py").write_text(
        "import sys\nfrom clbench import Strategy\nsys.exit(0)\nclass Mine(Strategy): pass\n"
    )
    (package / "er.py").write_text("from clbench import Strategy\nclass Er(Strategy): pass\n")
    (tmp_path / "sick-1.dist-info").mkdir()
    (tmp_path / "sick-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: sick\nVersion: 1\n")
    (tmp_path / "sick-1.dist-info" / "entry_points.txt").write_text("[clbench.strategies]\nsick = sick\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    misfits = json.loads(clbench("doctor", "--json")[1])["misfits"]
    assert any("'mine' could not be imported from sick.mine" in each for each in misfits)
    assert any("one strategy named 'er' but got 2" in each for each in misfits)
    assert len(misfits) == len(set(misfits)) == 3, "each once, and the two files of one name in two sentences"
    for module in [name for name in sys.modules if name.partition(".")[0] == "sick"]:
        del sys.modules[module]
