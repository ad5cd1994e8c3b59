"""Launchers: what carries out a list of runs, chosen by its name. `run_all` is the inner loop of each.

`serial` is `run_all` itself, in this process. The others start processes of their own, here (`local`) or on machines of
a cluster (`slurm`, `ray`); what a run is, its folder and its bits do not depend on who carries it out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

from clbench.errors import UsageError, unknown
from clbench.launch.cells import Builder, LaunchListener, run_all
from clbench.launch.outcome import Outcome
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.running.stops import Requests


@dataclass(frozen=True)
class Workers:
    """Who carries out a list of runs, as the command line names it.

    jobs: worker processes at once; None for as many as there are devices, or else cores. devices: one for each worker
    in turn, such as cuda:0 and cuda:1; none for what `How.device` says. asked: what a cluster is asked for, by its own
    names.
    """

    jobs: int | None = None
    devices: tuple[str, ...] = ()
    asked: Mapping[str, str] = field(default_factory=dict)


class Launcher(Protocol):
    """Carries out a list of runs; the contract of `run_all`, but for listeners and data that stay in one process.

    listener: hears of the list, in this process, and of runs elsewhere how far they are (`LaunchListener.at`).
    requests: what may ask the list to stop; every process hears of it, and runs stop with a checkpoint. builder: as of
    `run_all`, for this process.

    Raises:
        UsageError, PluginError: a mistake in the list or in `how`; nothing was started.
    """

    def __call__(
        self,
        specs: Sequence[Spec],
        how: How,
        *,
        listener: LaunchListener,
        requests: Requests | None = None,
        builder: Builder | None = None,
    ) -> Outcome: ...


SERIAL = "serial"
LAUNCHERS = {
    SERIAL: "clbench.launch.launcher:serial",
    "local": "clbench.launch.local:local",
    "slurm": "clbench.launch.on_slurm:slurm",
    "ray": "clbench.launch.on_ray:ray",
}
"""Name -> module and function that makes one from `Workers`; imported when it is chosen."""


def launcher(name: str, workers: Workers = Workers()) -> Launcher:
    """The launcher with a name. Raises UsageError for one that there is not, or whose packages are not installed."""
    if name not in LAUNCHERS:
        raise UsageError(unknown("launcher", name, LAUNCHERS))
    module, _, made_by = LAUNCHERS[name].partition(":")
    make = cast(Callable[[Workers], Launcher], getattr(import_module(module), made_by))
    return make(workers)


def serial(workers: Workers) -> Launcher:
    """One run after another in this process. Raises UsageError where more is asked for."""
    if (workers.jobs or 1) > 1 or workers.devices:
        raise UsageError("Expected no --jobs and --devices with --launcher serial but got some; use --launcher local.")
    refuse(workers.asked, SERIAL)
    return run_all


def refuse(asked: Mapping[str, str], name: str) -> None:
    """Raises UsageError where a launcher without a cluster is told what to ask it for."""
    if asked:
        raise UsageError(
            f"Expected no --ask with --launcher {name} but got {next(iter(asked))}; only slurm and ray ask."
        )
