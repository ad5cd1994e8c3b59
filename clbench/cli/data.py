"""`clbench data`: what a scenario expects on disk, whether it is there, and whether it is still as it was."""

import json as json_
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from clbench.cli import complete
from clbench.cli.common import AllowMissing, DataRoot, Debug, Json, Settings, parse_settings
from clbench.cli.usage import Verbs
from clbench.data.alone import alone
from clbench.data.collection import DataPart
from clbench.errors import DataError, UsageError
from clbench.files import OWN
from clbench.scenario.builder import ScenarioBuilder, load_builder
from clbench.scenario.tasks import Scenario
from clbench.terminal import width

app = typer.Typer(cls=Verbs, no_args_is_help=True, help="What a scenario reads from disk: info, prepare, verify.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", autocompletion=complete.of("scenario"), help="The scenario; `clbench list` names them."
    ),
]
SAMPLES = 16
"""Images that `prepare` decodes."""
NAMED = 20
"""Damaged files that `verify` names; the rest are counted."""


@app.command()
def info(
    scenario: Name,
    data_root: DataRoot = None,
    settings: Settings = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print what is expected where below the data root, and what is there.

    Example: clbench data info coco-seq --data-root DATA
    """
    parts = _builder(scenario, data_root, settings).data_parts()
    if json:
        found = [asdict(part) | {"there": None if data_root is None else _is_there(data_root, part)} for part in parts]
        print(json_.dumps({"scenario": scenario, "data_root": data_root and str(data_root), "parts": found}, indent=2))
        return
    if not parts:
        print(f"{scenario} makes its images itself and needs no data.")
    for part in parts:
        there = "" if data_root is None else f"{_there(data_root, part)}; "
        size = f", {part.size}" if part.size else ""
        print(f"{part.path}{'' if part.required else ' (optional)'}")
        print(textwrap.fill(f"{there}{part.what}{size}", width(), initial_indent="    ", subsequent_indent="    "))


@app.command()
def prepare(
    scenario: Name,
    data_root: DataRoot = None,
    settings: Settings = None,
    cache: Annotated[bool, typer.Option("--cache", help="Decode and resize every image once, into one file.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch what is missing first (VOC 2007 alone).")] = False,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Check files and counts, decode a few images, and write the checksums that `verify` compares with.

    Example: clbench data prepare voc-b0-c4 --data-root DATA --download --cache
    """
    root, builder = _with_files(scenario, data_root, settings, allow_missing)
    builder.check()
    if download and builder.dataset != "voc":
        raise UsageError(f"Expected --download with VOC 2007 but {scenario} is of other data; leave it out.")
    with _alone(root, download):
        if download:
            from clbench.data.voc import download as download_voc

            download_voc(root)
        _prepare(root, builder, cache)


def _alone(root: Path, download: bool) -> AbstractContextManager[None]:
    """Nobody else prepares what is below this root, whatever its scenario: they share checksums and caches."""
    if not (download or root.is_dir()):
        return nullcontext()  # the builder says that it is not there, and makes none
    return alone(root / OWN / "prepare.lock", f"data below {root}", parents=True)


def _prepare(root: Path, builder: ScenarioBuilder, cache: bool) -> None:
    import numpy as np

    from clbench.data import cache as pixels
    from clbench.data import checksums
    from clbench.data.images import FileImages

    built = builder.build()
    _tell(built)
    paths, size = built.images.paths, built.images.size
    FileImages(root, paths, size).read(np.linspace(0, len(paths) - 1, SAMPLES).astype(np.int64))
    files = checksums.files_of(root, builder.data_parts(), paths)
    with _progress("checksums") as progress:
        sums = checksums.write(root, built.name, files, progress)
    print(f"{len(files):,} files: {checksums.manifest(root, built.name)}")
    for file in pixels.remove_outdated(root, paths, sums):
        print(f"removed a pixel cache of other image files than are there now: {file}; --cache makes it again")
    if cache:
        with _progress("pixel cache") as progress:
            file = pixels.prepare(root, paths, size, root / OWN, lambda done: progress(done, len(paths)), sums)
        print(f"pixel cache of {len(paths):,} images, {file.stat().st_size / 1e9:.2f} GB: {file}")


@app.command()
def verify(scenario: Name, data_root: DataRoot = None, settings: Settings = None, debug: Debug = False) -> None:
    """Compare every file with the checksums that `prepare` wrote, and pixel caches with theirs.

    Example: clbench data verify coco-seq --data-root DATA
    """
    root, builder = _with_files(scenario, data_root, settings)

    from clbench.data import checksums
    from clbench.data.cache import damaged_caches

    with _progress("verify") as progress:
        wrong = checksums.damaged(root, builder.name, progress)
    wrong |= damaged_caches(root)
    if wrong:
        for path, what in list(wrong.items())[:NAMED]:
            print(f"{path}: {what}")
        more = f", the first {NAMED} of them above" if len(wrong) > NAMED else ""
        raise DataError(
            f"Expected every file of {scenario} below {root} to be as its checksums say but {len(wrong):,} are not"
            f"{more}; restore them, or, if they were changed on purpose, run `clbench data prepare {scenario}` again."
        )
    print(f"{scenario}: every file is as it was when it was prepared")


def _builder(scenario: str, data_root: Path | None, settings: list[str] | None, **more: bool) -> ScenarioBuilder:
    from clbench.options import build

    builder = load_builder(scenario)
    return builder.configured(build(builder.Options, {**parse_settings(settings), **more}), data_root)


def _with_files(
    scenario: str, data_root: Path | None, settings: list[str] | None, allow_missing: bool = False
) -> tuple[Path, ScenarioBuilder]:
    """Raises UsageError where the scenario has no files, or there is no data root."""
    builder = _builder(scenario, data_root, settings, **({"allow_missing": True} if allow_missing else {}))
    if not builder.data_parts():
        raise UsageError(
            f"Expected a scenario with files but {scenario} makes its images itself and needs no data; run it as it is."
        )
    if data_root is None:
        raise UsageError(f"Expected --data-root DIR, the folder of {builder.holds}, but got none.")
    return data_root, builder


def _is_there(root: Path, part: DataPart) -> bool:
    place = root / part.path
    return place.is_dir() if part.path.endswith("/") else place.is_file()


def _there(root: Path, part: DataPart) -> str:
    place = root / part.path
    if not _is_there(root, part):
        return "NOT there"
    if part.path.endswith("/"):
        return f"there, {sum(1 for _ in place.iterdir()):,} entries"
    return f"there, {place.stat().st_size / 1e6:,.1f} MB"


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal; called with what is done and how much there is."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def _tell(scenario: Scenario) -> None:
    print(f"{scenario.name}: {len(scenario)} tasks, {scenario.num_classes} classes")
    train, test = len(scenario.train_indices()), len(scenario.test_indices())
    print(f"{train:,} training and {test:,} test images, {len(scenario.absent):,} left out")
    for note in scenario.notes:
        print(f"note: {note}")
