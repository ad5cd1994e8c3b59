"""`clbench run`: train and evaluate, one run for each strategy and seed."""

import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clbench.cli.common import DataRoot, Debug, Out, Settings, debugging, parse_seeds, parse_settings
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT

if TYPE_CHECKING:
    import torch

    from clbench.records import Run
    from clbench.runner import Prepared

SETTINGS = "clbench.settings"
"""Where the configuration file's [set] table waits in the context."""


class Terminated(BaseException):
    """SIGTERM."""


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Make a TOML file's values the defaults of this command line. Raises UsageError."""
    if file is None:
        return None
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Expected --config to be a TOML file but {file} gave: {error}.") from error
    settings = values.pop("set", {})
    known = {p.name for p in context.command.params if p.name not in ("config", "settings", "debug")}
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                unknown(f"key in {file}:", name, {*known, "set"}, "Other options stand in its table [set].")
            )
        if isinstance(value, dict):
            raise UsageError(f"Expected {name} in {file} to be a single value but got a table.")
    if not isinstance(settings, dict):
        raise UsageError(f"Expected set in {file} to be a table of options but got {settings!r}.")
    context.default_map = values
    context.meta[SETTINGS] = settings
    return file


def run(
    context: typer.Context,
    scenario: Annotated[str, typer.Option(envvar="CLBENCH_SCENARIO", help="What to learn.")] = "digits-seq",
    strategy: Annotated[
        list[str] | None, typer.Option(envvar="CLBENCH_STRATEGY", help="How to learn it; repeatable.  [default: dlfl]")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(envvar="CLBENCH_MEMORY", help="Replay memory, or none.  [default: the strategy's]")
    ] = None,
    head: Annotated[
        str | None, typer.Option(envvar="CLBENCH_HEAD", help="linear or dlfl.  [default: the strategy's]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(envvar="CLBENCH_WEIGHTS", help="Backbone's initial weights: none, imagenet or FILE.safetensors."),
    ] = None,
    seed: Annotated[str, typer.Option(envvar="CLBENCH_SEED", help="0, 0..4 or 0,2,5.")] = "0",
    limit: Annotated[
        int | None,
        typer.Option(envvar="CLBENCH_LIMIT", help="At most N training and N test images of each task; marked limited."),
    ] = None,
    settings: Settings = None,
    config: Annotated[
        Path | None, typer.Option(callback=read_config, is_eager=True, help="TOML file with these options and [set].")
    ] = None,
    data_root: DataRoot = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out images that are not there, counted and recorded.")
    ] = False,
    device: Annotated[str, typer.Option(envvar="CLBENCH_DEVICE", help="auto, cpu or cuda.")] = "auto",
    out: Out = DEFAULT_OUT,
    rerun: Annotated[bool, typer.Option("--rerun", help="Run again what is done already.")] = False,
    debug: Debug = False,
) -> None:
    """Train and evaluate: one run for each strategy and seed.

    Example: clbench run --scenario digits-seq --strategy er --strategy dlfl --seed 0..2
    """
    wanted: dict[str, Any] = {**context.meta.get(SETTINGS, {}), **parse_settings(settings)}
    for name, value in {"model.head": head, "model.weights": weights, "allow_missing": allow_missing or None}.items():
        if value is not None:
            wanted[name] = value
    names = [name for given in strategy or ["dlfl"] for name in given.split(",")]
    seeds = parse_seeds(seed)

    from clbench.config import DEFAULT_MEMORY, resolve
    from clbench.runner import Prepared, build_scenario, choose_device

    chosen_memory = DEFAULT_MEMORY if memory is None else None if memory == "none" else memory
    configs = [resolve(scenario, name, memory=chosen_memory, limit=limit, settings=wanted) for name in names]
    chosen_device = choose_device(device)
    _say(f"building {scenario} …")
    built = build_scenario(configs[0], data_root)
    cells = [Cell(item, number) for item in (Prepared(config, built) for config in configs) for number in seeds]
    _announce(cells, out, str(chosen_device))
    finished_runs: list[Run] = []
    failures: list[str] = []
    with _signals():
        for cell in cells:
            try:
                finished_runs.append(_run_cell(cell, out, chosen_device, rerun))
            except Exception as error:
                if debugging():
                    traceback.print_exc()
                failures.append(f"{cell}: {error}")
                _say(failures[-1])
    _conclude(finished_runs, failures, out)


@dataclass(frozen=True)
class Cell:
    """One run of a list of runs."""

    prepared: "Prepared"
    seed: int

    def __str__(self) -> str:
        return f"{self.prepared.scenario.name}/{self.prepared.config.strategy} seed {self.seed}"


def _run_cell(cell: Cell, out: Path, device: "torch.device", rerun: bool) -> "Run":
    from clbench.progress import RunProgress
    from clbench.runner import execute, finished

    folder = cell.prepared.folder(out, cell.seed)
    existing = None if rerun else finished(folder)
    if existing:
        _say(f"{cell}: done already in {folder}; --rerun runs it again")
        return existing
    started = time.monotonic()
    with RunProgress(str(cell)) as progress:
        run = execute(cell.prepared, cell.seed, out=out, device=device, listeners=[progress])
    _say(f"{cell}: done in {time.monotonic() - started:.0f} s, {folder}")
    return run


def _announce(cells: list[Cell], out: Path, device: str) -> None:
    """What will run, on what, and where results go."""
    scenario = cells[0].prepared.scenario
    sizes = f"{sum(len(t.train) for t in scenario)} training and {len(scenario.test_indices())} test images"
    _say(f"{scenario.name}: {len(scenario)} tasks, {scenario.num_classes} classes, {sizes}")
    for note in scenario.notes:
        _say(f"  note: {note}")
    for prepared in dict.fromkeys(cell.prepared for cell in cells):
        config, seeds = prepared.config, [str(cell.seed) for cell in cells if cell.prepared is prepared]
        model, training = config.options["model"], config.options["train"]
        frozen = "" if model.freeze == "none" else ", frozen"
        memory = f"memory {config.memory} of {config.options['memory'].size}" if config.memory else "no memory"
        _say(
            f"  {config.strategy}: {model.backbone} ({prepared.weights['source']} weights{frozen}), {model.head} head, "
            f"{memory}, {training.optimizer} {training.lr:g}, batch {training.batch_size}, {training.epochs} epoch(s), "
            f"seed {','.join(seeds)}"
        )
        for warning in ("leak", "note"):
            if prepared.weights[warning]:
                _say(f"    {warning}: {prepared.weights[warning]}")
    _say(f"{len(cells)} run(s) on {device}; results go to {out}")


def _conclude(runs: "list[Run]", failures: list[str], out: Path) -> None:
    """The numbers on standard output, what to type next, and the failures once more."""
    from clbench.report.formats import summary

    if runs:
        print(summary(runs))
        _say(f"next: clbench report{'' if out == DEFAULT_OUT else f' --runs {out}'}")
    if failures:
        _say(f"{len(failures)} run(s) failed:")
        for failure in failures:
            _say(f"  {failure}")
        raise typer.Exit(1)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGINT ends with 130 and SIGTERM with 143, after the run has recorded that it was interrupted."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped by SIGINT; the run is recorded as interrupted")
        raise typer.Exit(130) from None
    except Terminated:
        _say("stopped by SIGTERM; the run is recorded as interrupted")
        raise typer.Exit(143) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
