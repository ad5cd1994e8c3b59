"""`clbench run --track`: a run's numbers in a tracker while it runs. A tracker that fails never stops the run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clbench.learning.listener import Listener
from clbench.running.build import Prepared
from clbench.running.recording import InBulk, Step
from clbench.store.folder import FAILED, Run, run_name
from clbench.trackers.export import STEP, Tracker, export, log_evaluations, params, require


class LiveTracking(InBulk):
    """Sends every training step's numbers to a tracker. say: is told where that fails."""

    def __init__(self, tracker: Tracker, say: Callable[[str], None]) -> None:
        super().__init__()
        self._tracker: Tracker | None = tracker
        self._say = say
        self._step = 0

    def finish(self, run: Run) -> None:
        """Send what is left, the metrics of a run that is done, and its state."""
        self.flush()
        try:
            if self._tracker and (run.folder / "metrics.json").exists():
                log_evaluations(run, self._tracker)
            if self._tracker:
                self._tracker.close(run.state if (run.folder / "status.json").exists() else FAILED)
        except Exception as error:
            self._give_up(error)

    def again(self, run: Run, kind: str, folder: Path) -> None:
        """Send all of a run from its folder."""
        try:
            export(run, kind, folder)
        except Exception as error:
            self._give_up(error)

    def write(self, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                if self._tracker:
                    numbers = {f"train/{name}": float(value) for name, value in sorted(step.values.items())}
                    self._tracker.log(STEP, self._step, numbers)
                self._step += 1
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._tracker = None
        self._say(f"tracking stopped ({type(error).__name__}: {error}); the run goes on")


@contextmanager
def tracked(
    kind: str | None, prepared: Prepared, seed: int, out: Path, say: Callable[[str], None]
) -> Iterator[list[Listener]]:
    """The listeners of a run that is to be tracked; none without a tracker. Its files stand beside `out`.

    A run that goes on from a checkpoint is sent again from its start once it has ended: trackers do not take back what
    came after the checkpoint. say: is told where tracking fails.

    Raises:
        UsageError: the tracker is not installed.
    """
    if kind is None:
        yield []
        return
    run = Run(prepared.folder(out, seed))
    live = LiveTracking(require(kind)(out.parent / kind, run_name(run), params(prepared.config.resolved())), say)
    try:
        yield [live]
    finally:
        live.finish(run)
        if _resumed(run):
            live.again(run, kind, out.parent / kind)


def _resumed(run: Run) -> bool:
    return (run.folder / "env.json").exists() and run.env["resumed_after_step"] is not None
