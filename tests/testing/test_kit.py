import pytest

from clbench import plugins
from clbench.errors import UsageError
from clbench.testing.kit import checks


@pytest.mark.parametrize(
    ("kind", "name", "count"),
    [
        ("strategy", "er", 7),
        ("strategy", "joint", 5),
        ("memory", "prs", 2),
        ("head", "linear", 2),
        ("scenario", "debug", 2),
    ],
)
def test_a_plugin_has_its_checks(kind: plugins.Kind, name: str, count: int) -> None:
    found = checks(kind, name)
    assert len({each.what for each in found}) == len(found) == count
    found[0].run()


def test_a_check_that_fails_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.Plugin, "docstring", lambda self: "")
    with pytest.raises(AssertionError, match="must begin with a docstring"):
        checks("memory", "prs")[0].run()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="Unknown memory"):
        checks("memory", "nowhere")
