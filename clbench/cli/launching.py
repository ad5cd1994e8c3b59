"""A list of runs on the terminal: announced, watched, its outcome made an exit code. Imports torch: import it late."""

import json as json_
import shlex
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

import typer

from clbench.cli.common import Keeping
from clbench.cli.progress import RunProgress
from clbench.cli.runs import records
from clbench.errors import ClbenchError, StoreError
from clbench.files import DEFAULT_OUT
from clbench.launch.cells import Cell, LaunchListener, run_all
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
from clbench.store.folder import Run
from clbench.store.lock import Busy
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
) -> None:
    """Run a list, all of it into one results folder; ends with the numbers on standard output.

    json: as JSON. rerun: start afresh what is done or interrupted. track: a tracker's name.

    Raises:
        typer.Exit: the code of what became of the list, where that is not 0.
        ClbenchError: why nothing of it could begin.
    """
    how, requests = _how(device, keeping, rerun), _requests(keeping)
    announcer = Announcer(how, keeping.debug)
    outcome = run_all(specs, how, listener=announcer, listeners=watching(track), requests=requests)
    if world().rank == 0:
        conclude(outcome, specs[0].out, json)
    if code := exit_code(outcome):
        raise typer.Exit(code)


def launching(device: str, keeping: Keeping) -> Launching:
    """How a search carries out its trials: announced, watched, and stopped as a list of runs is."""
    choose_device(device)  # or a search would build its data in vain
    how = _how(device, keeping)
    return Launching(how, Announcer(how, keeping.debug), watching(None), _requests(keeping))


def _how(device: str, keeping: Keeping, rerun: bool = False) -> How:
    return How(device, Schedule(keeping.checkpoint_minutes, keeping.checkpoint_steps), keeping.workers, rerun)


def _requests(keeping: Keeping) -> Requests:
    return Requests(None if keeping.max_time is None else parse_duration(keeping.max_time))


def watching(track: str | None) -> Callable[[Cell], AbstractContextManager[Sequence[Listener]]]:
    """Who watches one run: the terminal, and a tracker if there is one."""

    @contextmanager
    def listeners(cell: Cell) -> Iterator[Sequence[Listener]]:
        tracking = tracked(track, cell.prepared, cell.spec.seed, cell.spec.out, say)
        with RunProgress(str(cell)) as progress, tracking as others:
            yield [progress, *others]

    return listeners


class Announcer(LaunchListener):
    """Says on standard error what a list of runs is, and what becomes of it. debug: with the tracebacks of errors."""

    def __init__(self, how: How, debug: bool) -> None:
        self._how, self._debug = how, debug

    def said(self, message: str) -> None:
        say(message)

    def building(self, scenario: str) -> None:
        say(f"building {scenario} …")

    def planned(self, cells: Sequence[Cell], failures: Sequence[Failure]) -> None:
        for scenario in dict.fromkeys(cell.prepared.scenario for cell in cells):
            _announce([cell for cell in cells if cell.prepared.scenario is scenario], self._how)
        for failure in failures if cells else ():  # or it is all that there is to conclude
            self.failed(failure)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        say(f"{cell}: done in {seconds:.0f} s, {run.folder}")

    def done_already(self, cell: Cell, run: Run) -> None:
        recipe, recorded = cell.prepared.config.recipe, run.config.get("recipe")
        other = recipe and (recorded is None or recorded["sha256"] != recipe.sha256)
        what = "without this recipe, though with its options; --rerun records it" if other else "--rerun runs it again"
        say(f"{cell}: done already in {run.folder}{' ' if other else '; '}{what}")

    def left(self, cell: Cell, error: Busy) -> None:
        say(f"{cell}: {error}")

    def failed(self, failure: Failure) -> None:
        if self._debug:
            traceback.print_exception(failure.error)
        say(str(failure))


def _announce(cells: Sequence[Cell], how: How) -> None:
    """What will run on one scenario, on what device, and where results go."""
    scenario = cells[0].prepared.scenario
    sizes = f"{len(scenario.train_indices())} training and {len(scenario.test_indices())} test images"
    say(f"{scenario.name}: {len(scenario)} tasks, {scenario.num_classes} classes, {sizes}")
    if scenario.images.paths:
        say(f"  images: {scenario.images.fingerprint}")
    for note in scenario.notes:
        say(f"  note: {note}")
    for prepared in dict.fromkeys(cell.prepared for cell in cells):
        config, seeds = prepared.config, [str(cell.spec.seed) for cell in cells if cell.prepared is prepared]
        model, training = config.options["model"], config.options["train"]
        frozen = "" if model.freeze == "none" else ", frozen"
        memory = f"memory {config.memory} of {config.options['memory'].size}" if config.memory else "no memory"
        source = prepared.weights["source"].replace("none", "random")
        begins = f"{model.backbone} ({source} weights{frozen}), {config.head} head"
        say(
            f"  {config.strategy}: {begins}, {memory}, {training.optimizer} {training.lr:g}, batch "
            f"{training.batch_size}, {training.epochs} epoch(s), seed {','.join(seeds)}"
        )
        for kind, plugin in config.files.items():
            say(f"    {kind} from {plugin.file}, SHA-256 {plugin.sha256[:12]}")
        if recipe := config.recipe:
            say(f"    recipe {recipe.file}: {recipe.trials} trials on {recipe.view}, {recipe.seconds:.0f} s")
        if model.weights == "none" and model.backbone != "small":
            say(f"    note: {model.backbone} learns from random weights; --weights imagenet begins from ImageNet's")
        for warning in ("leak", "note"):
            if prepared.weights[warning]:
                say(f"    {warning}: {prepared.weights[warning]}")
    say(f"{len(cells)} run(s) on {choose_device(how.device)}; results go to {cells[0].spec.out}")


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
    for failure in (*outcome.failures, *outcome.busy):
        if isinstance(failure.error, ClbenchError):
            return failure.error.exit_code
        return StoreError.exit_code if _of_the_store(failure) else ClbenchError.exit_code
    return 0


def _of_the_store(failure: Failure) -> bool:
    """Whether something in the results folder cannot be used; a full disk may pass, and is a run that failed."""
    error = failure.error
    if not isinstance(error, OSError) or not isinstance(error.filename, str) or error.errno in (ENOSPC, EDQUOT):
        return False
    return Path(error.filename).absolute().is_relative_to(failure.spec.out.absolute())


def _never_begun(outcome: Outcome) -> Exception | None:
    """The one reason why not a single run could begin."""
    if outcome.runs or outcome.busy or outcome.stop:
        return None
    if any(failure.folder for failure in outcome.failures):
        return None
    reasons = {str(failure.error) for failure in outcome.failures}
    return outcome.failures[0].error if len(reasons) == 1 else None
