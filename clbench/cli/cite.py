"""`clbench cite`: BibTeX of what runs rest on."""

import json as json_
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench import plugins, sources
from clbench.cli import complete, facts
from clbench.cli.common import Debug, Json, Runs, store_at
from clbench.errors import PluginError, StoreError, UsageError, unknown
from clbench.files import DEFAULT_OUT
from clbench.models.options import BACKBONES, SOURCES
from clbench.terminal import printable, say

if TYPE_CHECKING:
    from clbench.report.bibtex import Cited
    from clbench.store.folder import Run

BACKBONE = "backbone"


def cite(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT...",
            autocompletion=complete.cited,
            show_default=str(DEFAULT_OUT),
            help="Results folders, archives, runs' folders or HASH/seed0; names of plugins and backbones.",
        ),
    ] = None,
    runs: Runs = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print BibTeX of clbench and of the papers behind scenarios, strategies, memories, heads and backbones.

    It has what their docstrings say under `Source:`; what has no paper, or none whose title was read, is a comment.

    Example: clbench cite results/runs > references.bib

    Example: clbench cite dlfl prs coco-seq resnet101
    """
    from clbench.report.bibtex import bibtex, keyed, keys_of

    store = store_at(None, runs)
    found = (one for each in what for one in _cited(each, store)) if what else _of_store(store)
    cited = list(dict.fromkeys(found))
    if not json:
        print(printable(bibtex(cited)))
        return
    known = keyed(cited)
    entries = [{"key": key, "type": paper.kind, **paper.fields} for key, paper in known.items()]
    said = [{"kind": c.kind, "name": c.name, "source": c.source, "keys": keys_of(c, known)} for c in cited]
    print(json_.dumps({"cited": said, "entries": entries}, indent=2))


def _cited(what: str, store: Path) -> Iterator["Cited"]:
    """What a word of the command line stands for: plugins, a backbone, or all that some runs have."""
    from clbench.store.folder import find_run

    named = list(_named(what))
    if named:
        yield from named
    elif run := find_run(store, what):
        yield from _of_run(run)
    elif os.path.exists(what):
        yield from _of_store(Path(what))
    else:
        hint = "Or name a results folder, an archive, or a run's folder."
        raise UsageError(unknown("plugin or run", what, [*facts.names(), *BACKBONES], hint))


def _named(name: str) -> Iterator["Cited"]:
    """The plugins and the backbone of a name, which may be several: `dlfl` is a strategy and a head."""
    from clbench.report.bibtex import Cited, source_of

    for kind in facts.PLURALS:
        with suppress(UsageError, PluginError):
            yield Cited(kind, plugins.find(kind, name).name, source_of(plugins.find(kind, name).docstring()))
    if source := SOURCES.get("timm:NAME" if name.startswith("timm:") else name):
        yield Cited(BACKBONE, name, source)


def _of_store(store: Path) -> Iterator["Cited"]:
    """All that the runs of a results folder or an archive rest on."""
    from clbench.store.archive import opened
    from clbench.store.folder import find_runs

    with opened(store) as folder:
        for run in find_runs(folder, say):
            yield from _of_run(run)


def _of_run(run: "Run") -> Iterator["Cited"]:
    """All that a run rests on, each as far as it is known here; a run that cannot be read is said."""
    from clbench.report.bibtex import Cited, source_of
    from clbench.store.folder import plugin_copy

    try:
        config, files = run.config, run.config.get("plugins", {})
        parts = {kind: config.get(kind) for kind in facts.PLURALS} | {BACKBONE: config["options"]["model"]["backbone"]}
        for kind, name in parts.items():
            if kind in files:
                copy = run.files.content(plugin_copy(kind, files[kind]["file"]))  # as text: it is not run
                yield Cited(kind, str(name), source_of(sources.parse(copy, str(name)).docstring))
            elif name:
                known = (each for each in _named(str(name)) if each.kind == kind)
                yield next(known, Cited(kind, str(name), None))
    except (StoreError, KeyError, TypeError) as error:
        say(f"{error if isinstance(error, StoreError) else f'{run.folder}: its configuration is not whole.'} Left out.")
