"""What an option is unless it is set: the layers of defaults over the dataclasses', and which has the last word.

Low to high: the scenario's, the memory's for that scenario, the strategy's, and the strategy's for that scenario.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from clbench import plugins
from clbench.scenario.builder import load_builder

Layered = dict[str, dict[str, tuple[Any, str]]]
"""Section -> option -> its default, where that is not the dataclass's, and who says so, in words."""


def layered(scenario: str, strategy: str, memory: str | None, head: str) -> Layered:
    """The defaults of a run that are not those of the options' dataclasses. A layer may speak of one memory or head
    alone: `head.dlfl`.

    Raises UsageError and PluginError as `clbench.plugins.load` does.
    """
    chosen = plugins.load("strategy", strategy)
    of_memory = plugins.load("memory", memory).scenario_defaults.get(scenario, {}) if memory else {}
    layers: list[tuple[str, Mapping[str, Mapping[str, Any]]]] = [
        ("scenario", load_builder(scenario).defaults),
        (f"{memory} on {scenario}", {"memory": of_memory}),
        ("strategy", chosen.defaults),
        (f"{strategy} on {scenario}", chosen.scenario_defaults.get(scenario, {})),
    ]
    merged: Layered = defaultdict(dict)
    for source, layer in layers:
        for scope, values in layer.items():
            section, _, only = scope.partition(".")
            if only in ("", {"memory": memory, "head": head}.get(section)):  # not of a memory that this run has not
                merged[section] |= {option: (value, source) for option, value in values.items()}
    return merged
