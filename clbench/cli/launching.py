"""A list of runs on the terminal: announced, watched, its outcome made an exit code. Imports torch: import it late."""

import json as json_
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import typer

from clbench.cli.announcing import Announcer
from clbench.cli.common import Keeping, Launched
from clbench.cli.progress import RunProgress
from clbench.cli.runs import records
from clbench.cli.several import Several
from clbench.files import DEFAULT_OUT
from clbench.launch.ahead import Ahead
from clbench.launch.cells import Builder, Cell, built, run_all
from clbench.launch.launcher import SERIAL, Workers, launcher
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.launch.tune import Launching
from clbench.learning.engine import choose_device
from clbench.learning.listener import Listener
from clbench.learning.world import world
from clbench.report.formats import summary
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests, parse_duration, reason
from clbench.store.plans import state_of
from clbench.terminal import say
from clbench.trackers.live import tracked


def launch(
    specs: Sequence[Spec],
    device: str,
    keeping: Keeping,
    *,
    json: bool = False,
    rerun: bool = False,
    track: str | None = None,
    only: Collection[str] = (),
    recorded: bool = True,
    launched: Launched | None = None,
) -> None:
    """Run a list, all of it into one results folder; ends with the numbers on standard output.

    json: as JSON. rerun: start afresh what is done or interrupted. track: a tracker's name. only: states of runs that
    are run, see `clbench.store.plans.state_of`; none for all. recorded: whether the store gets the list as a plan.
    launched: by what processes, None for this one; it alone has a tracker, and each run's own progress.

    Raises:
        typer.Exit: the code of what became of the list, where that is not 0.
        ClbenchError: why nothing of it could begin.
    """
    how, requests, out = _how(device, keeping, rerun), _requests(keeping), specs[0].out
    launched = launched or Launched()
    serial = launched.name == SERIAL
    carry_out = launcher(launched.name, Workers(launched.jobs, launched.on, launched.asked))
    announcer = Announcer(how, keeping.debug, recorded) if serial else Several(how, keeping.debug, recorded)
    builder = Builder(announcer)
    if only:
        choose_device(how.device)
        specs = _of_states(specs, only, builder)
    watched = watching(track, announcer.ahead)
    with announcer:
        if serial:
            outcome = run_all(specs, how, listener=announcer, listeners=watched, requests=requests, builder=builder)
        else:
            outcome = carry_out(specs, how, listener=announcer, requests=requests, builder=builder)
    if world().rank == 0:
        conclude(outcome, out, json)
    if code := exit_code(outcome):
        raise typer.Exit(code)


def _of_states(specs: Sequence[Spec], only: Collection[str], builder: Builder) -> list[Spec]:
    """Those whose runs are in such a state now, and those that cannot be built: they are told in their turn."""
    cells, failures = built(specs, [spec.config() for spec in specs], builder)
    chosen = [cell.spec for cell in cells if state_of(cell.folder) in only]
    say(f"{len(chosen)} of {len(specs)} run(s) are {' or '.join(sorted(only))}")
    return chosen + [failure.spec for failure in failures]


def launching(device: str, keeping: Keeping) -> Launching:
    """How a search carries out its trials: announced, watched, and stopped as a list of runs is."""
    choose_device(device)  # or a search would build its data in vain
    how = _how(device, keeping)
    announcer = Announcer(how, keeping.debug, recorded=False)
    return Launching(how, announcer, watching(None, announcer.ahead), _requests(keeping))


def _how(device: str, keeping: Keeping, rerun: bool = False) -> How:
    return How(device, Schedule(keeping.checkpoint_minutes, keeping.checkpoint_steps), keeping.workers, rerun)


def _requests(keeping: Keeping) -> Requests:
    return Requests(None if keeping.max_time is None else parse_duration(keeping.max_time))


def watching(track: str | None, ahead: Ahead) -> Callable[[Cell], AbstractContextManager[Sequence[Listener]]]:
    """Who watches one run: the terminal, and a tracker if there is one. ahead: what is left of the list."""

    @contextmanager
    def listeners(cell: Cell) -> Iterator[Sequence[Listener]]:
        tracking = tracked(track, cell.prepared, cell.spec.seed, cell.spec.out, say)
        with RunProgress(str(cell), ahead.behind(cell.folder)) as progress, tracking as others:
            yield [progress, *others]

    return listeners


def conclude(outcome: Outcome, out: Path, json: bool = False) -> None:
    """The numbers on standard output, what to type next, and what went wrong once more.

    json: what became of every run on standard output instead.

    Raises:
        ClbenchError: why nothing could begin, where that is one thing.
    """
    if never := _never_begun(outcome):
        raise never
    if outcome.stop:
        say(f"{outcome.stop}; the run is recorded as interrupted, and the same command goes on")
    if json:
        print(json_.dumps(as_json(outcome), indent=2))
    if outcome.runs:
        if not json:
            print(summary(outcome.runs))
        say(f"next: clbench report{'' if out == DEFAULT_OUT else f' {shlex.quote(str(out))}'}")
    for failures, what in ((outcome.failures, "failed"), (outcome.busy, "left to other processes")):
        if failures:
            say(f"{len(failures)} run(s) {what}:")
            for failure in failures:
                say(f"  {failure}")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """What became of a list of runs, JSON-ready."""

    def told(failure: Failure) -> dict[str, Any]:
        spec, folder = failure.spec, None if failure.folder is None else str(failure.folder)
        named = {"scenario": spec.scenario, "strategy": spec.strategy, "seed": spec.seed, "folder": folder}
        return named | {"error": reason(failure.error)}

    return {
        "schema": 1,
        "exit_code": exit_code(outcome),
        "stopped": str(outcome.stop) if outcome.stop else None,
        "runs": records(outcome.runs),
        "failed": [told(failure) for failure in outcome.failures],
        "busy": [told(failure) for failure in outcome.busy],
    }


def exit_code(outcome: Outcome) -> int:
    """Of what stopped the list, else of the first error, else of the first run that is another process's; 0 is good."""
    if outcome.stop:
        return outcome.stop.exit_code
    return next((failure.exit_code for failure in (*outcome.failures, *outcome.busy)), 0)


def _never_begun(outcome: Outcome) -> Exception | None:
    """The one reason why not a single run could begin."""
    if outcome.runs or outcome.busy or outcome.stop:
        return None
    if any(failure.folder for failure in outcome.failures):
        return None
    reasons = {str(failure.error) for failure in outcome.failures}
    return outcome.failures[0].error if len(reasons) == 1 else None
