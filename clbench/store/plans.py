"""Plans: the runs of a list, in the store that they go to. Needs no torch.

    <out>/.plans/<digest>.json

A plan is written before the first run of its list begins, so whoever sees the store knows what is still to come, on any
machine. It is for looking at: no run depends on it, and it may be deleted. The same list has the same file.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from clbench.errors import StoreError
from clbench.files import digest, write_json
from clbench.store import shape
from clbench.store.folder import CHECKPOINTS, DEPTH, INTERRUPTED, RUNNING, Run
from clbench.store.heartbeat import Heartbeat, read
from clbench.store.lock import is_held

FOLDER = ".plans"
SCHEMA = 1
NEW, DAMAGED = "new", "damaged"
"""States of a run besides its folder's: it has none yet, or one that cannot be read."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a plan.

    folder: below the store, as its name says. called: for people. steps: of all tasks. spec: how it is built, see
    `clbench.launch.spec`. load: what its time depends on, see `clbench.launch.estimates`.
    """

    folder: str
    called: str
    steps: int
    spec: Mapping[str, Any]
    load: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A list of runs. time: when it was written, ISO 8601. command: what was typed."""

    runs: Sequence[PlannedRun]
    time: str
    command: Sequence[str]


def write(out: Path, runs: Sequence[PlannedRun]) -> Path:
    """Write the plan of a list; returns its file. Raises StoreError."""
    file = out / FOLDER / f"{digest([run.folder for run in runs])[:12]}.json"
    now = datetime.now(UTC).isoformat("T", "seconds")
    plan = Plan(runs, now, [Path(sys.argv[0]).name, *sys.argv[1:]])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"schema": SCHEMA, **asdict(plan)})
    except OSError as error:
        raise StoreError(
            f"Expected to write results to {out} but got: {error.strerror}; choose another folder with --out."
        ) from error
    return file


def find(out: Path) -> Iterator[tuple[Path, Plan | StoreError]]:
    """Every plan of a store, the newest first, with what is wrong with one that cannot be read."""
    found = [(file, _read(file)) for file in sorted((out / FOLDER).glob("*.json"))]
    yield from sorted(found, key=lambda each: each[1].time if isinstance(each[1], Plan) else "", reverse=True)


def _read(file: Path) -> Plan | StoreError:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        shape.check(value, shape.PLAN, "plan")
        if value["schema"] != SCHEMA or not all(_below(PurePath(run["folder"])) for run in value["runs"]):
            raise ValueError(f"expected schema {SCHEMA} and folders of runs")
        return Plan([PlannedRun(**run) for run in value["runs"]], value["time"], value["command"])
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return StoreError(f"Expected a plan in {file} but got: {error}; delete it, for no run depends on it.")


def _below(folder: PurePath) -> bool:
    """Whether a path is that of a run below the store."""
    inside = not folder.is_absolute() and ".." not in folder.parts
    return inside and len(folder.parts) == DEPTH and Run(Path(folder)).placed


def state_of(folder: Path) -> str:
    """What a run's folder says of it now: a state of `clbench.store.folder.STATES`, `NEW` or `DAMAGED`.

    `running` only while a process has it: of one that was killed it is `interrupted`.
    """
    if not any(os.path.lexists(folder / name) for name in ("status.json", "SHA256SUMS")):
        return RUNNING if is_held(folder) else NEW
    try:
        state = Run(folder).state
    except StoreError:
        return RUNNING if is_held(folder) else DAMAGED
    return INTERRUPTED if state == RUNNING and not is_held(folder) else state


def share_done(folder: Path, steps: int) -> tuple[float, Heartbeat | None]:
    """How much of a run that is not done is, from 0 to 1, by its heartbeat or its last checkpoint; the first of them.

    steps: of all tasks.
    """
    beat = read(folder)
    if beat and beat.total_steps:
        return min(1.0, beat.done_steps / beat.total_steps), beat
    try:
        numbers = [int(name) for name in os.listdir(folder / CHECKPOINTS) if name.isdigit()]
    except OSError:
        numbers = []
    return (min(1.0, max(numbers) / steps) if numbers and steps else 0.0), beat
