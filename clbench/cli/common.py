"""What several verbs share: their options, and how values are parsed."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench import plugins
from clbench.cli import complete
from clbench.errors import UsageError, unknown
from clbench.files import DEFAULT_OUT

STORE = "clbench.store"
"""Where it waits in the context which parameter named the results folder on the command line."""

MOST_SEEDS, LARGEST_SEED = 10_000, 2**63 - 1
"""Of one command; what PyTorch's generators take."""


@dataclass
class Flags:
    """What `main` has to know of a command line once it has ended; the object of typer's context."""

    debug: bool = False


def _note_debug(context: typer.Context, value: bool) -> bool:
    context.ensure_object(Flags).debug = value
    return value


def _one_store(context: typer.Context, parameter: typer.CallbackParam, value: Path | None) -> Path | None:
    """Raises UsageError where a command line names the results folder as an argument and as an option."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE":
        first = context.meta.setdefault(STORE, parameter.name)
        if first != parameter.name:
            raise UsageError("Expected one results folder but got STORE and --runs; leave out one of them.")
    return value


def print_version(value: bool) -> None:
    """Print the version and stop."""
    if value:
        from clbench import __version__

        print(__version__)
        raise typer.Exit


Debug = Annotated[bool, typer.Option("--debug", callback=_note_debug, help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option("--out", envvar="CLBENCH_OUT", help="Folder of run folders.")]
Store = Annotated[
    Path | None,
    typer.Argument(
        metavar="STORE", callback=_one_store, show_default=str(DEFAULT_OUT), help="Results folder, of run folders."
    ),
]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", envvar="CLBENCH_OUT", metavar="STORE", callback=_one_store, help="Long form of STORE."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", envvar="CLBENCH_DATA_ROOT", help="Folder of the dataset's own files.")
]
Device = Annotated[str, typer.Option("--device", envvar="CLBENCH_DEVICE", help="auto, cpu, cuda or cuda:N.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Leave out images that are not there, counted and recorded.")
]
CheckpointMinutes = Annotated[
    float, typer.Option(min=0.0, metavar="MINUTES", help="Write a checkpoint when the last is so old.")
]
CheckpointSteps = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Write a checkpoint every N steps as well.")
]
MaxTime = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop with a checkpoint and exit code 75 after 90 (minutes), 45s, 30m or 1.5h."),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, max=64, envvar="CLBENCH_WORKERS", help="Threads that decode images ahead. Results are the same."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=complete.settings,
        help="An option of `clbench show NAME`; repeatable.",
    ),
]


def store_at(store: Path | None, runs: Path | None) -> Path:
    """The results folder of a command line: its argument, else --runs or the environment, else the default one."""
    return store or runs or DEFAULT_OUT


OneScenario = Annotated[
    str | None,
    typer.Option("--scenario", metavar="NAME", autocompletion=complete.of("scenario"), help="Only this one."),
]
OneStrategy = Annotated[
    str | None,
    typer.Option("--strategy", metavar="NAME", autocompletion=complete.of("strategy"), help="Only this one."),
]


@dataclass(frozen=True)
class Keeping:
    """How runs are kept going, whatever they are."""

    checkpoint_minutes: CheckpointMinutes = 5.0
    checkpoint_steps: CheckpointSteps = None
    max_time: MaxTime = None
    workers: Workers = 2
    debug: Debug = False


class By(StrEnum):
    """What `--launcher` takes."""

    serial = "serial"
    local = "local"
    slurm = "slurm"
    ray = "ray"


@dataclass(frozen=True)
class Launched:
    """What processes carry out a list of runs; see `clbench.launch.launcher`."""

    launcher: Annotated[
        By | None,
        typer.Option(
            envvar="CLBENCH_LAUNCHER",
            help="What runs them; slurm and ray are extras.  [default: serial; local with --jobs or --devices]",
        ),
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, envvar="CLBENCH_JOBS", help="Worker processes at once.  [default: cores, or devices]"
        ),
    ] = None
    devices: Annotated[
        str | None, typer.Option(metavar="DEVICE,…", help="Of the workers in turn, e.g. cuda:0,cuda:1.")
    ] = None
    ask: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of Slurm or Ray for each job, e.g. partition=gpu; repeatable."),
    ] = None

    @property
    def name(self) -> str:
        return (self.launcher or (By.local if self.jobs or self.devices else By.serial)).value

    @property
    def on(self) -> tuple[str, ...]:
        """The devices, each by its name."""
        return tuple(self.devices.split(",")) if self.devices else ()

    @property
    def asked(self) -> dict[str, str]:
        return parse_pairs(self.ask, "--ask", "partition=gpu")


def parse_settings(pairs: list[str] | None) -> dict[str, str]:
    """`["lr=1e-3"]` -> `{"lr": "1e-3"}`. Raises UsageError."""
    return parse_pairs(pairs, "--set", "lr=0.001")


def parse_pairs(pairs: list[str] | None, option: str, example: str) -> dict[str, str]:
    """Key -> value of an option that is repeated. Raises UsageError."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"Expected {option} KEY=VALUE but got {pair!r}, e.g. {option} {example}.")
        found[key.strip()] = value.strip()
    return found


def parse_kind(text: str) -> plugins.Kind:
    """A kind of plugin. Raises UsageError."""
    if text not in plugins.KINDS:
        raise UsageError(unknown("kind", text, plugins.KINDS))
    return text


def parse_seeds(text: str) -> list[int]:
    """`3` -> [3]; `0..2` -> [0, 1, 2]; `0,4` -> [0, 4]. Raises UsageError."""
    seeds: dict[int, None] = {}
    try:
        for part in text.split(","):
            first, dots, last = part.partition("..")
            found = range(int(first), int(last if dots else first) + 1)
            if not found or found[0] < 0:
                raise ValueError(part)
            if len(found) + len(seeds) > MOST_SEEDS or found[-1] > LARGEST_SEED:
                raise OverflowError(part)
            seeds |= dict.fromkeys(found)
    except ValueError as error:
        raise UsageError(f"Expected --seed like 0, 0..4 or 0,2,5 but got {text!r}.") from error
    except OverflowError as error:
        raise UsageError(
            f"Expected --seed of at most {MOST_SEEDS:,} seeds, none above {LARGEST_SEED}, but got {text!r}; make lists "
            "of several."
        ) from error
    return list(seeds)
