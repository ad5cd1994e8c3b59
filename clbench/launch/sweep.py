"""Grids: all combinations of some scenarios, methods, options and seeds, as the list of runs that they are.

Every run's names and options are looked at before anything is built. Needs no torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from clbench.errors import PluginError, UsageError
from clbench.files import DEFAULT_OUT
from clbench.launch.spec import Spec
from clbench.options import OptionInfo
from clbench.running.config import DEFAULT, options_of
from clbench.scenario.views import ALL

SHOWN = 3
"""Runs that are named of those that one mistake concerns."""


@dataclass(frozen=True)
class Grid:
    """All combinations of its lists; of one value each it is a single method.

    scenario, strategy, memory, head: as in a `Spec`; `DEFAULT` is each strategy's own memory or head. settings:
    option -> its values. In a value that is text a comma separates several, unless the option is any text, as an order
    of classes is: such a value has its commas. The rest is as in a `Spec`.
    """

    scenario: Sequence[str]
    strategy: Sequence[str]
    memory: Sequence[str | None] = (DEFAULT,)
    head: Sequence[str] = (DEFAULT,)
    view: str = ALL
    settings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    data_root: Path | None = None
    out: Path = DEFAULT_OUT
    recipe: Path | None = None

    def methods(self) -> Iterator[Spec]:
        """Every combination but that of seeds, each with the first of them."""
        for scenario, strategy, memory, head in product(self.scenario, self.strategy, self.memory, self.head):
            method = Spec(scenario, strategy, memory, head, self.view, {}, self.seeds[0], self.data_root, self.out)
            spec = replace(method, recipe=self.recipe)
            values = _values(spec, self.settings)
            for chosen in product(*values.values()):
                yield replace(spec, settings=dict(zip(values, chosen, strict=True)))


def expand(grids: Sequence[Grid]) -> list[Spec]:
    """Every run of some grids, once, in their order: a method's seeds stand together.

    Raises:
        UsageError, PluginError: what is wrong with any of them, one line for each mistake.
    """
    methods = [(method, grid.seeds) for grid in grids for method in grid.methods()]
    mistakes: dict[str, list[Spec]] = {}
    first: UsageError | PluginError | None = None
    for method, _ in methods:
        try:
            method.config()
        except (UsageError, PluginError) as error:
            first = first or error
            mistakes.setdefault(str(error), []).append(method)
    if first:
        raise _told(first, mistakes, len(methods))
    runs = [replace(method, seed=seed) for method, seeds in methods for seed in seeds]
    return list(dict.fromkeys(runs))


def _told(first: UsageError | PluginError, mistakes: Mapping[str, Sequence[Spec]], methods: int) -> Exception:
    """All mistakes as one error; where every run has the same one, that is all there is to say."""
    wrong = sum(map(len, mistakes.values()))
    if wrong == methods and len(mistakes) == 1:
        return first
    lines = [f"  {_listing(specs)}: {mistake}" for mistake, specs in mistakes.items()]
    return type(first)(
        f"Expected only runs that can be but {wrong} of {methods} methods cannot; leave them out, or write "
        + "`default` for each strategy's own memory or head:\n"
        + "\n".join(lines)
    )


def _listing(specs: Sequence[Spec]) -> str:
    more = f" and {len(specs) - SHOWN} more" if len(specs) > SHOWN else ""
    return ", ".join(spec.called() for spec in specs[:SHOWN]) + more


def _values(spec: Spec, settings: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Option -> its values, for one combination of names; as they were given where names are wrong: that is told."""
    try:
        known = options_of(spec.scenario, spec.strategy, memory=spec.memory, head=spec.head)
    except (UsageError, PluginError):
        return {key: list(values[:1]) for key, values in settings.items()}
    return {
        key: [each for value in values for each in (_parts(value) if _is_listed(key, known) else [value])]
        for key, values in settings.items()
    }


def _is_listed(key: str, known: Mapping[str, OptionInfo]) -> bool:
    """Whether a comma separates values of an option: not where it is any text, or is not there."""
    homes = [info for name, info in known.items() if key in (name, info.name)]
    return bool(homes) and all(info.type != "str" or info.choices for info in homes)


def _parts(value: Any) -> list[Any]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
