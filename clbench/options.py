"""Options of strategies, memories, scenarios, models and training: frozen dataclasses whose fields explain themselves.

    @dataclass(frozen=True)
    class Options(MemoryOptions):
        rho: float = option(0.0, "exponent of the stream counts (0 = equal shares); Kim et al., ECCV 2020")

The same declaration gives the default, the check, ``clbench show`` and ``--set rho=-0.03``.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, get_type_hints

from clbench.errors import UsageError, unknown

T = TypeVar("T")

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
    path: bool = False,
    neutral: Any = NEVER,
) -> Any:
    """A dataclass field with its explanation (unit and source) and its bounds.

    choices: the values there are; one like `timm:NAME` stands for every value that begins so.
    path: the value may name a file or folder, so it is no part of a run's identity; what stands there is.
    neutral: the value with which a run is what it was before there was this option; then the option is no part of the
        run's identity. Every option that is added after a release has one.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "at_least": at_least,
        "above": above,
        "path": path,
        "neutral": neutral,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OptionInfo:
    """What ``clbench show`` prints of one option."""

    name: str
    type: str
    default: Any
    help: str
    choices: tuple[str, ...]


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
    choices, at_least, above = metadata.get("choices"), metadata.get("at_least"), metadata.get("above")
    if choices and not any(_fits(value, choice) for choice in choices):
        raise UsageError(f"Expected option {name} to be one of {', '.join(choices)} but got {value!r}.")
    # `not (value >= bound)` also refuses NaN.
    if at_least is not None and not value >= at_least:
        raise UsageError(f"Expected option {name} to be at least {at_least} but got {value}.")
    if above is not None and not value > above:
        raise UsageError(f"Expected option {name} to be above {above} but got {value}.")
    return value


def _fits(value: str, choice: str) -> bool:
    pattern = choice.endswith(":NAME")
    return value == choice or (pattern and value.startswith(choice.removesuffix("NAME")) and value[-1] != ":")


@dataclass(frozen=True)
class NoOptions:
    """For a plugin without options."""
