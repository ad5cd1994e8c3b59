import os
import subprocess
import sys
from pathlib import Path

import clbench

ROOT = Path(clbench.__file__).parent.parent


def listed(folder: Path, *flags: str) -> str:
    command = [sys.executable, *flags, "-m", "clbench", "list", "strategies"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_folder_of_the_same_name_does_not_hide_the_built_in_strategies(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "__init__.py").write_text("")
    (tmp_path / "strategies" / "mine.py").write_text("from clbench import Strategy\nclass Mine(Strategy): pass\n")
    out = listed(tmp_path)
    assert " dlfl " in out and "mine" not in out
    assert listed(tmp_path, "-P") == out  # where Python itself leaves the folder out
    assert listed(ROOT) == out  # in the checkout, whose own folder it is
