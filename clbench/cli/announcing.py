"""What is said of a list of runs while it goes on, on standard error. Imports torch: import it late."""

import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from clbench.launch.ahead import Ahead
from clbench.launch.cells import Cell, LaunchListener, distinct
from clbench.launch.outcome import Failure
from clbench.launch.plan import planned_runs
from clbench.learning.engine import choose_device
from clbench.learning.world import world
from clbench.running.execute import How
from clbench.store import plans
from clbench.store.folder import Run
from clbench.store.lock import Busy
from clbench.terminal import say


class Announcer(LaunchListener):
    """Says on standard error what a list of runs is, and what becomes of it.

    debug: with the tracebacks of errors. recorded: a list of several is written into its store, as a plan. ahead: what
    is left of the list.
    """

    def __init__(self, how: How, debug: bool, recorded: bool = False) -> None:
        self._how, self._debug, self._recorded = how, debug, recorded
        self.ahead = Ahead()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays on the screen."""

    def said(self, message: str) -> None:
        say(message)

    def building(self, scenario: str) -> None:
        say(f"building {scenario} …")

    def planned(self, cells: Sequence[Cell], failures: Sequence[Failure]) -> None:
        cells = distinct(cells)
        for scenario in dict.fromkeys(cell.prepared.scenario for cell in cells):
            _announce([cell for cell in cells if cell.prepared.scenario is scenario], self._how)
        device = choose_device(self._how.device)
        self.ahead.planned(cells, device)
        if self._recorded and self.ahead.runs > 1:
            plans.write(cells[0].spec.out, planned_runs(cells, device))
        for failure in failures if cells else ():  # or it is all that there is to conclude
            self.failed(failure)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.ahead.over(cell.folder, run)
        say(f"{cell}: done in {seconds:.0f} s, {run.folder}")

    def done_already(self, cell: Cell, run: Run) -> None:
        recipe, recorded = cell.prepared.config.recipe, run.config.get("recipe")
        other = recipe and (recorded is None or recorded["sha256"] != recipe.sha256)
        what = "without this recipe, though with its options; --rerun records it" if other else "--rerun runs it again"
        say(f"{cell}: done already in {run.folder}{' ' if other else '; '}{what}")

    def left(self, cell: Cell, error: Busy) -> None:
        say(f"{cell}: {error}")

    def failed(self, failure: Failure) -> None:
        if failure.folder:
            self.ahead.over(failure.folder)
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
    shared = f", shared by {world().size} processes" if world().size > 1 else ""
    say(f"{len(cells)} run(s) on {choose_device(how.device)}{shared}; results go to {cells[0].spec.out}")
