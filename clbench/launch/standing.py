"""Where the runs of a store stand, from its plans and folders alone: on any machine that sees it. Needs no torch."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clbench.errors import StoreError
from clbench.launch.estimates import Experience, Load, load_of_run, makespan
from clbench.store import plans
from clbench.store.folder import DONE, INTERRUPTED, RUNNING, Run, find_runs, run_name
from clbench.store.heartbeat import Heartbeat
from clbench.store.plans import NEW, PlannedRun

TO_COME = (RUNNING, INTERRUPTED, NEW)
"""States of runs that are still to end, in the order in which they are told."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    called: by its plan, or by its folder. state: see `plans.state_of`. reason: why, where it stopped. beat: the last
    one of the process that has it. left: seconds that it still takes, once it goes on; None where nothing tells.
    """

    folder: Path
    called: str
    state: str
    reason: str | None = None
    beat: Heartbeat | None = None
    left: float | None = None

    def as_json(self) -> dict[str, Any]:
        beat = self.beat
        return {
            "run": self.called,
            "folder": str(self.folder),
            "state": self.state,
            "reason": self.reason,
            "seconds_left": self.left,
            **{name: getattr(beat, name, None) for name in SHOWN},
            "beat_age_s": age(beat),
        }


SHOWN = ("task", "tasks", "step", "steps", "images_per_second", "host", "pid", "since")
"""What of a heartbeat is told."""


def age(beat: Heartbeat | None) -> float | None:
    """Seconds since a heartbeat, by this machine's clock."""
    if beat is None:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(beat.at)).total_seconds())


class Standings:
    """Looks at a store again and again; what it has learned of how long runs take, it keeps.

    say: is told, once, of plans and folders that cannot be read.
    """

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self._out, self._say = out, say
        self._known, self._learned, self._said = Experience(), set[Path](), set[str]()

    def look(self) -> list[Standing]:
        """Every run of the store and of its plans. Raises StoreError where there is no such folder."""
        planned = self._planned()
        folders = {run.folder: run_name(run) for run in find_runs(self._out, self._say_once)}
        names = {folder: run.called for folder, run in planned.items()}
        states = {folder: plans.state_of(folder) for folder in folders | names}
        loads = {folder: self._load(folder, planned.get(folder)) for folder, s in states.items() if s in TO_COME}
        kin = {_method(folder) for folder in loads}
        self._learn(folder for folder, state in states.items() if state == DONE and _method(folder) in kin)
        shares = {
            folder: plans.share_done(folder, planned[folder].steps if folder in planned else 0) for folder in loads
        }
        for folder, (_, beat) in shares.items():
            if (load := loads[folder]) and beat and beat.images_per_second and states[folder] == RUNNING:
                images = beat.total_steps * load.options["train"]["batch_size"]
                self._known.add_going(load, images / beat.images_per_second)
        return [
            Standing(
                folder,
                (folders | names)[folder],
                state,
                None if state in (DONE, RUNNING, NEW) else _reason(folder),
                shares[folder][1] if state == RUNNING else None,
                self._left(loads[folder], shares[folder][0]) if folder in loads else None,
            )
            for folder, state in states.items()
        ]

    def _planned(self) -> dict[Path, PlannedRun]:
        """The runs of the store's plans; what the newest says of each."""
        found: dict[Path, PlannedRun] = {}
        for _, plan in plans.find(self._out):
            if isinstance(plan, StoreError):
                self._say_once(str(plan))
            else:
                for run in plan.runs:
                    found.setdefault(self._out / run.folder, run)
        return found

    def _learn(self, done: Iterator[Path]) -> None:
        for folder in done:
            if folder not in self._learned:
                self._learned.add(folder)
                self._known.learn_from(Run(folder))

    def _load(self, folder: Path, planned: PlannedRun | None) -> Load | None:
        with suppress(
            StoreError, KeyError, TypeError, ValueError
        ):  # it has just begun, or its plan is of another version
            return load_of_run(Run(folder)) if planned is None else Load.from_json(planned.load)
        return None

    def _left(self, load: Load | None, share: float) -> float | None:
        estimate = load and self._known.of(load)
        return estimate.seconds * (1 - share) if estimate else None

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._say(message)


def _method(folder: Path) -> tuple[str, ...]:
    """Scenario and strategy, which alone can tell how long a run takes."""
    return folder.parts[-4:-2]


def _reason(folder: Path) -> str | None:
    try:
        return Run(folder).status["reason"] or "stopped without a word"
    except StoreError as error:
        return str(error)


@dataclass(frozen=True)
class Left:
    """What is left of a store's runs. seconds: until the last of those whose time is known has ended, with as many at
    once as are running now; runs: all that are to end; unknown: those of them whose time nobody knows."""

    seconds: float
    runs: int
    unknown: int


def left(standings: list[Standing]) -> Left:
    to_come = sorted((s for s in standings if s.state in TO_COME), key=lambda s: TO_COME.index(s.state))
    known = [each.left for each in to_come if each.left is not None]
    running = sum(each.state == RUNNING for each in standings)
    return Left(makespan(known, running), len(to_come), len(to_come) - len(known))
