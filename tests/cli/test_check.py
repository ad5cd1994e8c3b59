from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[..., tuple[int, str, str]]
DIVERGES = """class Mine(Strategy):
    def losses(self, batch, replay):
        return {"loss": self.loss(batch) * float("nan")}
"""
KEY = """class Mine(Strategy):
    def predict(self, inputs):
        return {}["nokey"]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"), [(DIVERGES, "Expected finite scores but"), (KEY, "KeyError: 'nokey'"), ("", "docstring")]
)
def test_a_contract_that_is_broken_is_said_with_code_4(
    clbench: CommandLine, tmp_path: Path, text: str, said: str
) -> None:
    docstring = '"""Mine."""\n' if text else ""
    body = text or "class Mine(Strategy):\n    pass\n"
    (tmp_path / "mine.py").write_text(f"{docstring}from clbench import Strategy\n\n{body}")
    code, out, err = clbench("check", "./mine.py")
    failed = [line for line in out.splitlines() if line.startswith("FAILED  ")]
    assert code == 4 and failed and said in "".join(failed)
    assert f"Expected the strategy ./mine.py to keep its contract but {len(failed)} check(s) failed" in err


def test_a_plugin_is_named_and_its_kind_where_two_have_the_name(clbench: CommandLine) -> None:
    code, out, err = clbench("check", "reservoir")
    assert code == 0 and len(out.splitlines()) == 2
    code, _, err = clbench("check", "dlfl")
    assert code == 2 and "one plugin named dlfl but there is a strategy and a head; name one with --kind" in err
    assert clbench("check", "dlfl", "--kind", "head")[0] == 0


def test_what_is_no_plugin(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("x = 1")
    (tmp_path / "torn.py").write_text("x = (")
    for name, expected, said in (
        ("resevoir", 2, "Unknown plugin 'resevoir'; did you mean 'reservoir'"),
        ("./gone.py", 2, "in ./gone.py but got: No such file"),
        ("none.py", 4, "Expected a scenario, strategy, memory or head in none.py but found none"),
        ("torn.py", 4, "in torn.py but got a syntax error in line 1"),
    ):
        code, _, err = clbench("check", name)
        assert code == expected and said in err
