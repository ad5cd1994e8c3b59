import pytest

from clbench.errors import ClbenchError, DataError, PluginError, StoreError, UsageError, unknown


@pytest.mark.parametrize(
    ("kind", "code"), [(ClbenchError, 1), (UsageError, 2), (DataError, 3), (PluginError, 4), (StoreError, 5)]
)
def test_every_kind_of_error_has_its_documented_exit_code(kind: type[ClbenchError], code: int) -> None:
    assert kind("x").exit_code == code and isinstance(kind("x"), ClbenchError)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reservoire", "Unknown memory 'reservoire'; did you mean 'reservoir'? Known: prs, reservoir."),
        ("xyz", "Unknown memory 'xyz'. Known: prs, reservoir."),
    ],
)
def test_an_unknown_name_gives_the_nearest_known_one_and_all(name: str, sentence: str) -> None:
    assert unknown("memory", name, {"reservoir", "prs"}) == sentence


def test_where_nothing_is_known_that_is_said() -> None:
    assert unknown("memory", "x", [], "Install one.") == "Unknown memory 'x'. Known: none. Install one."
