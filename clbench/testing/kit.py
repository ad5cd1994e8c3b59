"""The kit of a plugin as a list, check by check, so that it can be said which one failed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from clbench import plugins
from clbench.plugins import Kind
from clbench.scenario.builder import load_builder
from clbench.testing.heads import check_head
from clbench.testing.memories import check_memory
from clbench.testing.scenarios import check_scenario, check_seeded
from clbench.testing.strategies import strategy_checks

SCENARIOS = ("debug", "debug-incremental")
"""What a strategy is tried on: all columns from the start, and a head that grows with labels that are hidden."""


@dataclass(frozen=True)
class Check:
    """One check. run: raises AssertionError with a sentence, or whatever the plugin raises."""

    what: str
    run: Callable[[], None]


def checks(kind: Kind, name: str) -> list[Check]:
    """The checks of a plugin, by its name or the path of its file. A scenario reads its data when it is checked.

    Raises:
        UsageError: no such name or file, or a strategy that says that it cannot be run on a debug scenario.
        PluginError: a plugin that cannot be loaded.
    """
    plugins.load(kind, name)
    described = Check("the file begins with a docstring", partial(_check_docstring, kind, name))
    return [described, *_CHECKS[kind](name)]


def _check_docstring(kind: Kind, name: str) -> None:
    assert plugins.find(kind, name).docstring(), "the file must begin with a docstring that says what it is"


def _strategy(name: str) -> list[Check]:
    return [
        Check(f"{what}, on {scenario}", run) for scenario in SCENARIOS for what, run in strategy_checks(name, scenario)
    ]


def _scenario(name: str) -> list[Check]:
    builder = load_builder(name)
    if builder.seeded:
        return [Check("every seed draws a sound scenario from one source", lambda: check_seeded(builder))]
    return [Check("tasks, labels, images and manifest are sound", lambda: check_scenario(builder.build()))]


def _memory(name: str) -> list[Check]:
    return [Check("capacity, content, payloads, growth and state", partial(check_memory, name))]


def _head(name: str) -> list[Check]:
    return [Check("logits, seeds, growth and attention", partial(check_head, name))]


_CHECKS: dict[Kind, Callable[[str], list[Check]]] = {
    "strategy": _strategy,
    "scenario": _scenario,
    "memory": _memory,
    "head": _head,
}
