"""One run as plain values: what a launcher ships to another process, which builds it there. Needs no torch.

A scenario itself is never shipped: the digits alone pickle to 74 MB, and images that are read from files not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from clbench import plugins
from clbench.errors import StoreError, UsageError, unknown
from clbench.files import DEFAULT_OUT, sha256
from clbench.running.config import DEFAULT, Config, resolve
from clbench.running.recipe import COPY
from clbench.scenario.views import ALL
from clbench.store.folder import Run, plugin_copy

PATHS = ("data_root", "out", "recipe")
"""What of a specification is a path; JSON has text."""


@dataclass(frozen=True)
class Spec:
    """One run, before anything of it is built.

    scenario, strategy: a name, or the path of a file; memory and head, too.
    memory: a name, `DEFAULT`, or None for no memory. head: a name, or `DEFAULT`. view: see `clbench.scenario.views`.
    settings: option -> value, text or typed, as `--set` takes them. data_root: folder of the dataset's own files. out:
    the results folder.
    recipe: a recipe's file, or a folder of them, see `clbench.running.recipe`; None for none.
    config_hash: what the configuration and its data must come to, of a run that is to go on; None for a new one.
    """

    scenario: str
    strategy: str
    memory: str | None = DEFAULT
    head: str = DEFAULT
    view: str = ALL
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    seed: int = 0
    data_root: Path | None = None
    out: Path = DEFAULT_OUT
    config_hash: str | None = None
    recipe: Path | None = None

    def __str__(self) -> str:
        return f"{self.called()} seed {self.seed}"

    def called(self, scenario: str | None = None) -> str:
        """The run without its seed: `debug/er (memory=prs, lr=0.5)`. scenario: its name as built, once it is."""
        told: dict[str, Any] = {} if self.memory == DEFAULT else {"memory": self.memory or "none"}
        told |= {} if self.head == DEFAULT else {"head": self.head}
        told |= self.settings
        more = (
            "" if self.config_hash or not told else f" ({', '.join(f'{key}={value}' for key, value in told.items())})"
        )
        return f"{scenario or plugins.name_of(self.scenario)}/{plugins.name_of(self.strategy)}{more}"

    def config(self) -> Config:
        """The configuration, every option resolved. Raises UsageError and PluginError."""
        return resolve(
            self.scenario,
            self.strategy,
            memory=self.memory,
            head=self.head,
            view=self.view,
            settings=self.settings,
            recipe=self.recipe,
        )

    def as_json(self) -> dict[str, Any]:
        """Text, numbers and None alone."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        paths = {name: None if plain[name] is None else str(plain[name]) for name in PATHS}
        return plain | {"settings": dict(self.settings)} | paths

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`; what is left out is as in a new Spec.

        Raises:
            UsageError: a key that there is not, or no scenario or strategy.
        """
        known = [f.name for f in fields(cls)]
        for key in value:
            if key not in known:
                raise UsageError(unknown("key of a run's specification:", key, known))
        if missing := {"scenario", "strategy"} - set(value):
            raise UsageError(f"Expected a run's specification to name its {sorted(missing)[0]} but got {dict(value)}.")
        paths = {name: Path(value[name]) for name in PATHS if value.get(name) is not None}
        return cls(**{**value, **paths})

    @classmethod
    def of_run(cls, run: Run, data_root: Path | None = None, copies: bool = False) -> Self:
        """What gives the run in a folder again, from its config.json, in the same results folder.

        copies: take plugins that were named by their path from the copies in the folder, which may be somebody's.

        Raises:
            StoreError: config.json is not the configuration of a run, or a file that it names as a plugin has changed.
        """
        try:
            saved = {**run.config, **_files(run, copies)}
            settings = {f"{section}.{key}": value for section, key, value in _options(saved)}
            return cls(
                saved["scenario"],
                saved["strategy"],
                saved["memory"],
                saved["head"],
                saved["view"],
                settings,
                run.seed,
                data_root,
                run.out,
                run.config_hash,
                run.folder / COPY if "recipe" in saved else None,
            )
        except (KeyError, AttributeError, TypeError) as error:
            raise StoreError(
                f"Expected {run.folder / 'config.json'} to be the configuration of a run but {error!r} is wrong in it; "
                "start afresh with `clbench run --rerun`."
            ) from error


def _files(run: Run, copies: bool) -> dict[str, str]:
    """Kind -> path, of the plugins that a run named so. Raises StoreError where a file is not as it was."""
    named = run.config.get("plugins", {})
    if copies:
        files = {kind: str(run.folder / plugin_copy(kind, known["file"])) for kind, known in named.items()}
    else:
        files = {kind: str(run.env["plugin_files"][kind]) for kind in named}
    for kind, path in files.items():
        known = run.config["plugins"][kind]
        if not Path(path).is_file() or sha256(Path(path)) != known["sha256"]:
            raise StoreError(
                f"Expected {path} to be as it was when {run.folder} was begun but it has changed or is gone; bring it "
                f"back ({plugin_copy(kind, known['file'])} in that folder is a copy), or use `clbench run`."
            )
    return files


def _options(saved: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """(section, option, value) of a saved configuration."""
    return [(section, key, value) for section, options in saved["options"].items() for key, value in options.items()]
