"""What pyproject.toml asks of Python is what the code uses."""

import re
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_python_is_new_enough_to_unpack_safely() -> None:
    """`tarfile.data_filter` came with 3.11.4 and is not in 3.11.3."""
    assert "data_filter" in (ROOT / "clbench/data/archives.py").read_text() and hasattr(tarfile, "data_filter")
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    found = re.fullmatch(r">=(\d+)\.(\d+)\.(\d+)", asked)
    assert found and tuple(map(int, found.groups())) >= (3, 11, 4)
    assert f"Python ≥ {asked.removeprefix('>=')}" in (ROOT / "README.md").read_text(encoding="utf-8")
