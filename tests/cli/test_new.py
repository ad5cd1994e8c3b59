from collections.abc import Callable
from pathlib import Path

import pytest

from clbench import plugins

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", plugins.KINDS)
def test_what_is_written_passes_its_kit_and_runs(clbench: CommandLine, tmp_path: Path, kind: str) -> None:
    code, out, err = clbench("new", kind, "my-own")
    assert code == 0 and out == "my_own.py\n" and f"clbench run --{kind} ./my_own.py" in err
    code, out, err = clbench("check", "my_own.py")
    assert code == 0 and len(out.splitlines()) >= 2 and all(line.startswith("ok ") for line in out.splitlines()), err
    typed = {"strategy": "er", "scenario": "debug"} | {kind: "./my_own.py"}
    code, _, err = clbench("run", *(part for name, value in typed.items() for part in (f"--{name}", value)))
    assert code == 0, err


def test_nothing_is_overwritten(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    code, out, err = clbench("new", "strategy", "mine")
    assert code == 2 and not out and "Expected to write mine.py but it is there already" in err
    assert (tmp_path / "mine.py").read_text() == "precious"


def test_names_that_cannot_be(clbench: CommandLine, tmp_path: Path) -> None:
    for kind, name, said in (
        ("network", "mine", "Unknown kind 'network'"),
        ("strategy", "er", "a new name but 'er' is the strategy in strategies.er"),
        ("scenario", "debug", "is the scenario in scenarios._debug"),
        ("head", "../mine", "Expected a name like mine or my-head"),
        ("head", "mine.py", "Expected a name like mine or my-head"),
        ("head", "", "Expected a name like mine or my-head"),
    ):
        code, _, err = clbench("new", kind, name)
        assert code == 2 and said in err
    assert not list(tmp_path.iterdir())
