import inspect
import math
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from clbench.errors import UsageError
from clbench.options import BOUNDS, build, identity, infos, is_range, names, option


@dataclass(frozen=True)
class Options:
    size: int = option(10, "capacity in images", at_least=1)
    rho: float = option(0.0, "exponent")
    lr: float = option(0.1, "learning rate", above=0.0)
    rule: str = option("one", "which rule", choices=("one", "two"))
    quirk: bool = option(False, "as released")


def test_text_becomes_typed_values() -> None:
    built = build(Options, {"size": "7", "rho": "-0.03", "rule": "two", "quirk": "yes"})
    assert built == Options(size=7, rho=-0.03, rule="two", quirk=True)


def test_typed_values_are_taken_as_they_are() -> None:
    assert build(Options, {"size": 7, "rho": 1, "quirk": True}) == Options(size=7, rho=1.0, quirk=True)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sise": "3"}, "Unknown option 'sise'; did you mean 'size'?"),
        ({"size": "three"}, "Expected option size to be of type int but got 'three'."),
        ({"size": 2.5}, "Expected option size to be of type int but got 2.5."),
        ({"size": True}, "Expected option size to be of type int but got True."),
        ({"size": 0}, "Expected option size to be at least 1 but got 0."),
        ({"lr": "0"}, "Expected option lr to be above 0.0 but got 0.0."),
        ({"lr": "nan"}, "Expected option lr to be above 0.0 but got nan."),
        ({"lr": "inf"}, "Expected option lr to be a finite number but got inf."),
        ({"rho": "nan"}, "Expected option rho to be a finite number but got nan."),
        ({"rho": "-inf"}, "Expected option rho to be a finite number but got -inf."),
        ({"rule": "three"}, "Expected option rule to be one of one, two but got 'three'."),
        ({"quirk": "perhaps"}, "Expected option quirk to be of type bool but got 'perhaps'."),
        ({"rule": 3}, "Expected option rule to be of type str but got 3."),
    ],
)
def test_bad_values_give_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        build(Options, values)
    assert str(error.value).startswith(sentence)
    assert error.value.exit_code == 2


def test_description_has_default_help_and_choices() -> None:
    assert names(Options) == ["size", "rho", "lr", "rule", "quirk"]
    rule = infos(Options)[3]
    assert (rule.name, rule.type, rule.default, rule.help, rule.choices) == (
        "rule",
        "str",
        "one",
        "which rule",
        ("one", "two"),
    )


@dataclass(frozen=True)
class Later(Options):
    """The same options, and two that came after a release."""

    smooth: float = option(0.1, "a new one, of which 0 is how it was before", neutral=0.0)
    note: str = option("", "a file", path=True)


def test_an_option_at_its_neutral_value_is_no_part_of_the_identity() -> None:
    before, after = identity(Options()), identity(build(Later, {"smooth": 0.0, "note": "/some/file"}))
    assert before == after
    assert identity(Later()) == {**before, "smooth": 0.1}


@pytest.mark.parametrize(
    ("default", "search", "bounds"),
    [
        (1e-3, (1e-4, 1e-2, "log"), {"above": 0.0}),
        (0.0, (-0.5, 0.5, "linear"), {}),
        (3, (1, 9, "log"), {"at_least": 1}),
        ("bce", ("bce", "asl"), {"choices": ("bce", "asl")}),
        ("log", ("a", "b", "log"), {}),
        (True, (False, True), {}),
        (4, (1, 4, 16), {}),
    ],
)
def test_what_is_searched_is_told(default: object, search: tuple[object, ...], bounds: dict[str, Any]) -> None:
    cls = make_dataclass("Made", [("it", type(default), option(default, "", search=search, **bounds))], frozen=True)
    assert infos(cls)[0].search == search
    assert is_range(search) == (search[-1] in ("log", "linear") and not isinstance(default, str))


@pytest.mark.parametrize(
    ("default", "search", "bounds", "sentence"),
    [
        (1.0, (1, 9, "log"), {}, "Expected search of float, as the default, but got 1."),
        (1.0, (0.5, 2.0, "cubic"), {}, "Expected search of float, as the default, but got 'cubic'."),
        (1.0, (2.0, 0.5, "log"), {}, "low < high, log above 0, but got (2.0, 0.5, 'log')."),
        (1.0, (0.0, 2.0, "log"), {}, "low < high, log above 0, but got (0.0, 2.0, 'log')."),
        (1.0, (0.5, math.inf, "linear"), {}, "finite, low < high"),
        (1.0, (math.nan, 2.0, "linear"), {}, "finite, low < high"),
        (True, (False, True, "log"), {}, "Expected the values themselves as search of True but got a range"),
        (3.0, (0.5, 2.0, "log"), {}, "Expected the default 3.0 to be one of what is searched"),
        ("c", ("a", "b"), {}, "Expected the default 'c' to be one of what is searched, ('a', 'b')."),
        ("a", ("a",), {}, "Expected two different values or more to search"),
        ("a", ("a", "a"), {}, "Expected two different values or more to search"),
        ("a", ("a", "b"), {"choices": ("a", "c")}, "Expected option search to be one of a, c but got 'b'."),
        (1.0, (0.5, 2.0, "log"), {"at_least": 1.0}, "Expected option search to be at least 1.0 but got 0.5."),
    ],
)
def test_what_cannot_be_searched_is_refused_where_it_is_declared(
    default: object, search: tuple[object, ...], bounds: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError) as error:
        option(default, "", search=search, **bounds)
    assert sentence in str(error.value)


def test_an_upper_bound() -> None:
    few = make_dataclass("few", [("few", int, option(1, "at most eight", at_most=8))], frozen=True)
    assert build(few, {"few": "8"}) == few(8)
    with pytest.raises(UsageError, match="Expected option few to be at most 8 but got 9"):
        build(few, {"few": "9"})


def test_every_bound_of_an_option_is_told() -> None:
    assert infos(Options)[0].bounds == {"at_least": 1} and infos(Options)[1].bounds == {}
    of_numbers = {
        name for name, each in inspect.signature(option).parameters.items() if each.annotation == float | None
    }
    assert of_numbers == set(BOUNDS)
