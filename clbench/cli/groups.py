"""Options that belong together, declared once as a dataclass and taken by a verb as one argument.

    @dataclass(frozen=True)
    class Keeping:
        max_time: MaxTime = None
        workers: Workers = 2

    @grouped
    def resume(folder: Path, keeping: Keeping) -> None: ...

On the command line nothing shows of it: `--max-time` and `--workers` stand where `keeping` stands among the parameters.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, get_type_hints


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer takes it: for each parameter that is a dataclass, a parameter for each of its fields."""
    parameters = inspect.signature(verb, eval_str=True).parameters
    groups: dict[str, Any] = {name: p.annotation for name, p in parameters.items() if is_dataclass(p.annotation)}
    spread: list[Parameter] = []
    for name, each in parameters.items():
        spread += _fields(groups[name]) if name in groups else [each.replace(kind=Parameter.KEYWORD_ONLY)]

    @wraps(verb)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        verb(**given)

    command.__signature__ = Signature(spread)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in spread}
    return command


def _fields(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
