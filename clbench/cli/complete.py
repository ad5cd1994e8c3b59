"""What the shell completes: names of plugins, sections, backbones, columns. Nothing here needs torch.

A plugin that is broken costs its own completion, in silence: the shell is no place for a warning.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import typer

from clbench import plugins
from clbench.cli import facts
from clbench.files import DEFAULT_OUT
from clbench.models.options import BACKBONES
from clbench.options import names

Found = list[tuple[str, str]]
"""Words that begin as what was typed does, each with what a shell shows beside it."""


def of(kind: plugins.Kind, *others: str) -> Callable[[str], Found]:
    """Names of one kind of plugin, and other words. Behind a comma a list goes on."""

    def complete(incomplete: str) -> Found:
        before, comma, begun = incomplete.rpartition(",")
        return [
            (f"{before}{comma}{name}", said)
            for name, said in [*_named(kind), *((o, "") for o in others)]
            if name.startswith(begun)
        ]

    return complete


def carded(incomplete: str) -> Found:
    """All that `clbench show` has a card of, but for runs."""
    found = [each for kind in facts.PLURALS for each in _named(kind)]
    found += [(name, facts.SECTION) for name in facts.SECTIONS]
    return _begun(found, incomplete)


def cited(incomplete: str) -> Found:
    """All names that `clbench cite` knows, but for runs."""
    found = [each for kind in facts.PLURALS for each in _named(kind)]
    return _begun([*found, *BACKBONES.items()], incomplete)


def listed(incomplete: str) -> Found:
    """What `clbench list` takes."""
    return _begun([(name, "") for name in (*facts.LISTED, facts.RUNS)], incomplete)


def settings(incomplete: str) -> Found:
    """`KEY=` of the options that every run has, and the backbones that there are."""
    keys = [(f"{key}=", section) for section, cls in facts.SECTIONS.items() for key in names(cls)]
    return _begun([*keys, *((f"backbone={name}", said) for name, said in BACKBONES.items())], incomplete)


def columns(context: typer.Context, incomplete: str) -> Found:
    """Columns that the first finished run of the results folder has. Behind a comma a list goes on."""
    from clbench.report.columns import column_names
    from clbench.report.rows import collect
    from clbench.store.folder import DONE, find_runs

    # An argument is not yet parsed while the option behind it has no value.
    typed = next((word for word in context.args if Path(word).is_dir()), None)
    given = context.params.get("store") or typed or context.params.get("runs") or DEFAULT_OUT
    before, comma, begun = incomplete.rpartition(",")
    with suppress(Exception):  # a store that cannot be read has no columns
        done = islice((run for run in find_runs(Path(given)) if run.state == DONE), 1)
        return [(f"{before}{comma}{name}", "") for name in column_names(collect(done)) if name.startswith(begun)]
    return []


def _named(kind: plugins.Kind) -> Iterator[tuple[str, str]]:
    with warnings.catch_warnings(action="ignore"):
        for name, plugin in plugins.available(kind).items():
            yield name, plugin.summary()


def _begun(found: Found, incomplete: str) -> Found:
    return [(name, said) for name, said in found if name.startswith(incomplete)]
