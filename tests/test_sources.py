import sys
from pathlib import Path

import pytest

from clbench import sources
from clbench.sources import parse, read, spec_of

BASE = ("clbench.learning.strategy", "Strategy")


@pytest.mark.parametrize(
    "text",
    [
        "from clbench import Strategy\nclass Mine(Strategy): pass",
        "from clbench import Strategy as Base\nclass Mine(Base): pass",
        "from clbench import *\nclass Mine(Strategy): pass",
        "import clbench\nclass Mine(clbench.Strategy): pass",
        "import clbench as c\nclass Mine(c.Strategy): pass",
        "from clbench.learning import strategy\nclass Mine(strategy.Strategy): pass",
        "from strategies.joint import Joint\nclass Mine(Joint): pass",
        "from clbench import Strategy\nclass Strategy(Strategy): pass",
        "from clbench import Strategy\nclass First(Strategy): pass\nclass Mine(dict, First): pass",
        "from clbench import Strategy\nclass Mine(Strategy[int]): pass",
        "if True:\n    from clbench import Strategy\nclass Mine(Strategy): pass",
    ],
)
def test_a_class_that_derives_from_the_base_is_found(text: str) -> None:
    assert parse(text.encode(), "mine").defines(BASE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "from clbench import Strategy",
        "from strategies.er import ExperienceReplay",
        "class Strategy: pass",
        "class Mine(Strategy): pass",
        "from torch import nn\nclass Mine(nn.Module): pass",
        "from clbench import Memory\nclass Mine(Memory): pass",
        "class Mine(Mine): pass",
        "from nowhere import Strategy\nclass Mine(Strategy): pass",
        "from . import Strategy\nclass Mine(Strategy): pass",
        "class Mine(made()): pass",
        "def f():\n    from clbench import Strategy\n    class Mine(Strategy): pass",
    ],
)
def test_other_classes_are_not(text: str) -> None:
    assert not parse(text.encode(), "mine").defines(BASE)


def test_bases_are_followed_through_a_package_and_round_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "followed"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from .deep.two import Second\nraise SystemExit('imported')")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "one.py").write_text("from clbench import Strategy\nclass First(Strategy): pass")
    (package / "deep" / "two.py").write_text("from . import one\nclass Second(one.First): pass")
    (package / "mine.py").write_text("from followed import Second\nclass Mine(Second): pass")
    (package / "left.py").write_text("from .right import B\nclass A(B): pass")
    (package / "right.py").write_text("from .left import A\nclass B(A): pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read("followed.mine").defines(BASE) and read("followed.deep.two").defines(BASE)
    assert not read("followed.left").defines(BASE)
    assert "followed" not in sys.modules


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "once_read.py").write_text('"""One."""')
    monkeypatch.syspath_prepend(str(tmp_path))
    first = read("once_read")
    monkeypatch.setattr(sources, "parse", lambda *_: pytest.fail("parsed again"))
    assert read("once_read") is first
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "once_read.py").write_text('"""Another."""')
    assert read("once_read").docstring == "Another."


def test_what_cannot_be_parsed_says_so() -> None:
    assert parse(b"x = (", "torn").fault == "syntax error in line 1: '(' was never closed"
    for odd in (b"\x00", b"x = '\xff'", b"(" * 5000):
        assert (parse(odd, "odd").fault or "").startswith("syntax error")


def test_a_literal_is_read_and_what_is_computed_is_not() -> None:
    source = parse(b"A = 1\nB: dict[str, int] = {'b': 2}\nC: int\nD = len('d')\nA = 3", "some")
    assert [source.literal(name) for name in "ABCE"] == [3, {"b": 2}, None, None]
    with pytest.raises(ValueError, match="malformed"):
        source.literal("D")


def test_a_module_is_located_without_importing_its_package() -> None:
    spec = spec_of("json.tool")
    assert spec and spec.origin and spec.origin.endswith("tool.py")
    assert spec_of("no_such_module") is None and spec_of("json.tool.deeper") is None and spec_of("json.no") is None


@pytest.mark.parametrize(
    ("module", "there"), [("json", True), ("clbench.errors", True), ("no.such", False), ("", False)]
)
def test_whether_a_module_is_there_is_told_without_importing_it(module: str, there: bool) -> None:
    assert sources.found(module) is there
