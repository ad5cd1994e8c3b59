"""Recipes: the options that a search has chosen for one method on one scenario, and how it came to them. TOML.

    <folder>/<scenario>/<strategy>-<head>-<memory>.toml

    schema = 1
    scenario, strategy, head, memory    whose recipe it is; memory "none" where there is none
    [settings]                          "section.option" = value, as `--set` takes them
    [search]                            sampler, seeds, view, metric, ranges, trials, seconds, version, command …
    [[trials]]                          number, state, score, seconds, settings and runs of each

`clbench tune` writes them; a run that uses one keeps a copy, `recipe.toml`, in its folder.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.errors import StoreError, UsageError
from clbench.files import write_bytes

SCHEMA = 1
COPY = "recipe.toml"
"""The copy in a run's folder."""
NO_MEMORY = "none"
HEADER = "# Made by `clbench tune`; `clbench run --recipe FILE` uses it.\n"


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read.

    settings: `section.option` -> value. trials, seconds, view: of the search that chose them. text: the file, as it is.
    """

    file: Path
    method: tuple[str, str, str, str]
    settings: Mapping[str, Any]
    trials: int
    seconds: float
    view: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def record(self, options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What a run's config.json says of it. options: section -> option -> value, as the run has them."""
        held = [key for key, value in self.settings.items() if _value(options, key) == value]
        return {
            "sha256": self.sha256,
            "trials": self.trials,
            "seconds": self.seconds,
            "view": self.view,
            "options": held,
            "overridden": [key for key in self.settings if key not in held],
        }


def recipe_file(folder: Path, scenario: str, strategy: str, head: str, memory: str | None) -> Path:
    """Where a method's recipe stands in a folder of them."""
    return folder / scenario / f"{strategy}-{head}-{memory or NO_MEMORY}.toml"


def recipe_for(path: Path, scenario: str, strategy: str, head: str, memory: str | None) -> Recipe:
    """A method's recipe: that file, or its own in that folder.

    Raises:
        UsageError: there is none, it is damaged, or it is another method's or another scenario's.
    """
    file = recipe_file(path, scenario, strategy, head, memory) if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"Expected a recipe of {strategy} on {scenario} in {file} but there is none; make it with "
            f"`clbench tune --scenario {scenario} --strategy {strategy}`, with --head and --memory as here."
        )
    recipe, asked = read(file), (scenario, strategy, head, memory or NO_MEMORY)
    for what, wanted, got in zip(("scenario", "strategy", "head", "memory"), asked, recipe.method, strict=True):
        if wanted != got:
            raise UsageError(
                f"Expected a recipe for {what} {wanted} but {file} is for {what} {got}; name another, or run "
                f"--{what} {got}."
            )
    return recipe


def read(file: Path) -> Recipe:
    """Raises UsageError where a file is no recipe."""
    document, text = load(file)
    try:
        search, settings = document["search"], document["settings"]
        method = tuple(str(document[key]) for key in ("scenario", "strategy", "head", "memory"))
        trials, seconds, view = int(search["trials"]), float(search["seconds"]), str(search["view"])
        if document["schema"] != SCHEMA or not math.isfinite(seconds) or not all("." in key for key in settings):
            raise ValueError("schema, seconds or settings")
        return Recipe(file, (method[0], method[1], method[2], method[3]), settings, trials, seconds, view, text)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"Expected a recipe that `clbench tune` made, schema {SCHEMA}, but {error!r} is wrong in {file}; "
            "make it again."
        ) from error


def load(file: Path) -> tuple[dict[str, Any], str]:
    """A recipe's file parsed, and its text. Raises UsageError."""
    try:
        text = file.read_bytes().decode("utf-8")
        return tomllib.loads(text), text
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected a recipe, a TOML file, but {file} gave: {error}.") from error


def write(file: Path, document: Mapping[str, Any]) -> None:
    """Write a recipe in one step. Raises StoreError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, (HEADER + as_toml(document)).encode("utf-8", "replace"))
    except OSError as error:
        raise StoreError(
            f"Expected to write a recipe to {file} but got: {error.strerror}; choose another folder with --recipes."
        ) from error


def as_toml(document: Mapping[str, Any]) -> str:
    """TOML of text, numbers, and lists and tables of them; tables and lists of tables come last, as TOML asks for.

    There is a reader in the standard library and no writer; this is all of the format that a recipe needs.
    """
    return "\n".join(_lines(document, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    later = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    yield from (f"{_key(key)} = {_inline(value)}" for key, value in table.items() if key not in later)
    for key, value in later.items():
        name = ".".join(map(_key, (*path, key)))
        for each in [value] if isinstance(value, Mapping) else value:
            yield from ("", f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]")
            yield from _lines(each, (*path, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # JSON leaves DEL as it is, TOML does not
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    raise TypeError(f"a recipe holds no {type(value).__name__}")


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _inline(key)


def _value(options: Mapping[str, Mapping[str, Any]], key: str) -> Any:
    section, _, option = key.rpartition(".")
    return options.get(section, {}).get(option)
