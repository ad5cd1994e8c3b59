"""Options of strategies, memories, scenarios, models and training: frozen dataclasses whose fields explain themselves.

    @dataclass(frozen=True)
    class Options(MemoryOptions):
        rho: float = option(0.0, "exponent of the stream counts (0 = equal shares); Kim et al., ECCV 2020")

The same declaration gives the default, the check, ``clbench show`` and ``--set rho=-0.03``.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from math import inf, isfinite
from typing import Any, ClassVar, TypeVar, get_type_hints

from clbench.errors import UsageError, unknown

T = TypeVar("T")

SCALES = ("log", "linear")
"""How a range is searched: evenly in the logarithm, or in the value."""
BOUNDS = ("at_least", "above", "at_most")
"""What `option` takes to bound a number."""
NEVER = object()
"""What an option is never equal to: it is always part of a run's identity."""

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class Text(str):
    """The type of an option that is text of a certain form. `Text(value)` raises ValueError for any other."""

    __slots__ = ()
    expected: ClassVar[str] = "text"
    """What is said to be expected where the text is of another form."""


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    path: bool = False,
    neutral: Any = NEVER,
    search: tuple[Any, ...] = (),
) -> Any:
    """A dataclass field with its explanation (unit and source) and its bounds.

    choices: the values there are; one like `timm:NAME` stands for every value that begins so.
    path: the value may name a file or folder, so it is no part of a run's identity; what stands there is.
    neutral: the value with which a run is what it was before there was this option; then the option is no part of the
        run's identity. Every option that is added after a release has one.
    search: what `clbench tune` tries: `(low, high, "log")`, `(low, high, "linear")`, both ends included, or the values
        themselves. Only where they are good whatever the other options are; with the default among them.

    Raises:
        ValueError: `search` is nothing that the option could be.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
        "path": path,
        "neutral": neutral,
        "search": search,
    }
    _check_search(default, search, metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OptionInfo:
    """What ``clbench show`` prints of one option."""

    name: str
    type: str
    default: Any
    help: str
    choices: tuple[str, ...]
    search: tuple[Any, ...] = ()
    bounds: dict[str, float] = field(default_factory=dict)
    """Which of `BOUNDS` it has, e.g. `{"at_least": 1}`."""


def infos(cls: type) -> list[OptionInfo]:
    """Every option of a dataclass, in the order of declaration."""
    hints = get_type_hints(cls)
    return [
        OptionInfo(
            f.name,
            getattr(hints[f.name], "__name__", str(hints[f.name])),
            None if f.default is MISSING else f.default,
            f.metadata.get("help", ""),
            f.metadata.get("choices", ()),
            f.metadata.get("search", ()),
            {bound: f.metadata[bound] for bound in BOUNDS if f.metadata.get(bound) is not None},
        )
        for f in fields(cls)
    ]


def identity(options: Any) -> dict[str, Any]:
    """Option -> value, of those that make a run what it is: no paths, and none at its neutral value."""
    values = {f: getattr(options, f.name) for f in fields(options) if not f.metadata.get("path")}
    return {f.name: value for f, value in values.items() if value != f.metadata.get("neutral", NEVER)}


def names(cls: type) -> list[str]:
    """The option names of a dataclass."""
    return [f.name for f in fields(cls)]


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of an options dataclass from text or typed values.

    Raises:
        UsageError: an unknown option, a value of another type, or one outside its choices or bounds.
    """
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    typed = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(unknown("option", name, known))
        typed[name] = _checked(name, _coerce(name, value, hints[name]), known[name].metadata)
    return cls(**typed)


def _coerce(name: str, value: Any, kind: type) -> Any:
    try:
        if kind is bool:
            return value if isinstance(value, bool) else _to_bool(value)
        if kind in (int, float):
            if isinstance(value, bool):
                raise ValueError(value)
            if kind is int and isinstance(value, float) and not value.is_integer():
                raise ValueError(value)
            return kind(value)
        if kind is str and isinstance(value, str):
            return value
        if issubclass(kind, Text) and isinstance(value, str | int):
            return kind(str(value))
        raise ValueError(value)
    except (TypeError, ValueError) as error:
        expected = kind.expected if issubclass(kind, Text) else f"of type {kind.__name__}"
        raise UsageError(f"Expected option {name} to be {expected} but got {value!r}.") from error


def _to_bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError(value)
    return text in _TRUE


def _checked(name: str, value: Any, metadata: Mapping[str, Any]) -> Any:
    choices, at_least, above, at_most = (metadata.get(key) for key in ("choices", "at_least", "above", "at_most"))
    if choices and not any(_fits(value, choice) for choice in choices):
        raise UsageError(f"Expected option {name} to be one of {', '.join(choices)} but got {value!r}.")
    # `not (value >= bound)` also refuses NaN.
    if at_least is not None and not value >= at_least:
        raise UsageError(f"Expected option {name} to be at least {at_least} but got {value}.")
    if above is not None and not value > above:
        raise UsageError(f"Expected option {name} to be above {above} but got {value}.")
    if at_most is not None and value > at_most:
        raise UsageError(f"Expected option {name} to be at most {at_most} but got {value}.")
    if isinstance(value, float) and not isfinite(value):
        raise UsageError(f"Expected option {name} to be a finite number but got {value}.")
    return value


def _fits(value: str, choice: str) -> bool:
    pattern = choice.endswith(":NAME")
    return value == choice or (pattern and value.startswith(choice.removesuffix("NAME")) and value[-1] != ":")


def is_range(search: tuple[Any, ...]) -> bool:
    """Whether what is tried of an option is a range, `(low, high, scale)`, and not its values."""
    return len(search) == 3 and search[2] in SCALES and not any(isinstance(end, str) for end in search[:2])


def _check_search(default: Any, search: tuple[Any, ...], metadata: Mapping[str, Any]) -> None:
    """Raises ValueError: at its declaration an option has no name yet, so the sentence gives what was declared."""
    if not search:
        return
    tried = search[:2] if is_range(search) else search
    wrong = [value for value in tried if type(value) is not type(default)]
    if wrong:
        raise ValueError(f"Expected search of {type(default).__name__}, as the default, but got {wrong[0]!r}.")
    if is_range(search):
        low, high, scale = search
        if isinstance(default, bool) or not isinstance(default, int | float):
            raise ValueError(f"Expected the values themselves as search of {default!r} but got a range, {search}.")
        if not -inf < low < high < inf or (scale == "log" and low <= 0):
            raise ValueError(f"Expected search=(low, high, scale), finite, low < high, log above 0, but got {search}.")
    elif len(set(search)) != len(search) or len(search) < 2:
        raise ValueError(f"Expected two different values or more to search but got {search}.")
    if not (search[0] <= default <= search[1] if is_range(search) else default in search):
        raise ValueError(f"Expected the default {default!r} to be one of what is searched, {search}.")
    try:
        for value in tried:
            _checked("search", value, metadata)
    except UsageError as error:
        raise ValueError(f"Expected to search what the option may be, {search}: {error}") from error


@dataclass(frozen=True)
class NoOptions:
    """For a plugin without options."""
