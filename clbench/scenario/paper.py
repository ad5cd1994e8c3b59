"""How a paper trained on a scenario, so that a report can say where a run does otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paper:
    """The settings of the paper that a scenario is from: those that were read, and no others.

    name: of the paper and of where its settings were read. settings: section -> option -> the paper's value, in the
    sections of `ScenarioBuilder.defaults`, and `scenario`; of a tuple the first is what is printed, and any of it
    counts as the same. beyond: what the paper has and no option gives.
    """

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    beyond: tuple[str, ...] = ()

    def record(self, options: Mapping[str, Any], named: Mapping[str, str | None]) -> dict[str, Any]:
        """What concerns one run, JSON-ready: `settings` is `section.option` -> the list of values.

        options: the run's sections. named: section -> the memory or head that the run has.
        """
        found = {}
        for scope, values in self.settings.items():
            section, _, name = scope.partition(".")
            if section in options and name in ("", named.get(section)):
                for option, value in values.items():
                    found[f"{section}.{option}"] = list(value) if isinstance(value, tuple) else [value]
        return {"name": self.name, "settings": found, "beyond": list(self.beyond)}
