"""The run folder: what a run leaves behind, how it is written and read back. Needs no torch.

    <out>/<scenario>/<strategy>/<config hash>/seed<k>/
        config.json    the resolved configuration
        env.json       versions, machine, data manifest, initial weights; when the newest image file was written
        recipe.toml    a copy of the recipe that chose options, see clbench/running/recipe.py; only where one did
        plugin/        <kind>/<file>, a copy of each plugin that was named by the path of a file; kept as text, never
                       run; only where there are such
        absent.txt     paths of images that belong to the scenario but could not be had; only where there are any
        events.jsonl   every step's numbers
        logits/        task<t>.npy (N_test, C) float32 after each task; labels.npy (N_test, C) uint8; scored.npy
                       (N_test, C) bool, False where a label counts in no metric and labels.npy says 0; only where
                       there are such, as on a validation view; tested.npy (T, N_test) bool, which images are each
                       task's; only where tasks share some, for elsewhere they stand task after task
        attention.npz  where a head with label queries looks, see clbench/running/attention.py; only with such a head
        metrics.json   what `clbench.metrics.evaluate` gives, and under `cost` what the run took: steps, images,
                       seconds, bytes, parameters (`clbench.running.recording.costs`)
        status.json    running, done, failed, diverged or interrupted, with the reason; of a run that diverged the
                       task, step, learning rate and ids of the batch; `may_pass` where a failure is the machine's
        traceback.txt  of a run that failed
        checkpoint/    while it runs, or is to go on: see clbench/store/checkpoint.py
        heartbeat.json while it runs: how far it is; no part of the record, see clbench/store/heartbeat.py
        SHA256SUMS     of all the others, written last: a run is done once it is there, whatever status.json says

Beside it lies `.seed<k>.lock`, which a running process holds (`.seed<k>.lock.<n>` where that is a lease). The
results folder has `.plans`, see clbench/store/plans.py.

No file is ever read as code: JSON, text, and `.npy` and `.npz` without objects.
"""

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.errors import StoreError, UsageError
from clbench.files import digest, sha256, write_all, write_bytes, write_json
from clbench.store import reader
from clbench.store.heartbeat import FILE as HEARTBEAT
from clbench.store.reader import Reader

SCHEMA = 1
"""Version of the run folder's files and of the report's JSON."""

DONE, RUNNING, FAILED, DIVERGED, INTERRUPTED = "done", "running", "failed", "diverged", "interrupted"
STATES = (DONE, RUNNING, FAILED, DIVERGED, INTERRUPTED)
SUMS = reader.SUMS
UNSEALED = f"without its {SUMS}, which are written last; `clbench resume` finishes it"
"""Why a run whose status says `done` counts nowhere as done."""
TRACEBACK = "traceback.txt"
CHECKPOINTS = "checkpoint"
"""The folder of checkpoints in a run folder; no checksums here, they have their own."""
SPARE, SPARE_BYTES = ".spare.tmp", 2**15
"""A file that holds the room of what a run writes at its end, so that a full disk can be recorded."""
DEPTH = 4
"""Folders from a results folder down to a run's."""
PREFIX = 4
"""Digits of a configuration's hash that name a run."""
HASH, SEED = re.compile(r"[0-9a-f]{12}"), re.compile(r"seed(0|[1-9][0-9]*)")
"""Names of a run's folder and of the one that it stands in."""


def short_hash(identity: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of what makes a run what it is, which name the folder of its configuration."""
    return digest(identity)[:12]


def run_folder(out: Path, scenario: str, strategy: str, config_hash: str, seed: int) -> Path:
    """Where a run's folder is."""
    return out / scenario / strategy / config_hash / f"seed{seed}"


def plugin_copy(kind: str, filename: str) -> str:
    """Where in a run's folder a plugin that was named by its path is copied to."""
    return f"plugin/{kind}/{filename}"


class RunWriter:
    """Writes one run folder from its start to its end.

    events: bytes of events.jsonl that a run which goes on keeps; None for a run that starts afresh. check: is called
        before each writing, and raises where the folder has become another's, see `clbench.store.lock.held`.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(self, folder: Path, events: int | None = None, check: Callable[[], None] = lambda: None) -> None:
        self.folder, self.check, self._closed = folder, check, False
        self.check()
        try:
            if events is None and folder.exists():
                shutil.rmtree(folder)
            (folder / "logits").mkdir(parents=True, exist_ok=True)
            for name in (SUMS, TRACEBACK, HEARTBEAT):
                (folder / name).unlink(missing_ok=True)
            self._clear()
            self._events = os.open(folder / "events.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self._events, events or 0)
        except OSError as error:
            raise StoreError(
                f"Expected to write results to {folder} but got: {error.strerror}; choose another folder with --out."
            ) from error

    def keep_room(self) -> None:
        """Take room on the disk for the last words of the run, until it ends."""
        write_bytes(self.folder / SPARE, bytes(SPARE_BYTES))

    def json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one of the folder's JSON files."""
        self.check()
        write_json(self.folder / name, value)

    def text(self, name: str, value: str) -> None:
        """Write one of the folder's text files."""
        self.check()
        write_bytes(self.folder / name, value.encode())

    def copy(self, name: str, content: bytes) -> None:
        """Write a copy of a file, in a folder of its own below the run's."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / name, content)

    def array(self, name: str, value: npt.NDArray[Any]) -> None:
        """Write an array below `logits/`."""
        self.check()
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        write_bytes(self.folder / "logits" / f"{name}.npy", buffer.getvalue())

    def arrays(self, name: str, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write several arrays as one `name`.npz. Raises ValueError for one of objects."""
        if any(value.dtype.hasobject for value in values.values()):  # older NumPy would pickle them unasked
            raise ValueError("Object arrays cannot be saved: no file of a run is ever read as code")
        self.check()
        buffer = io.BytesIO()
        members: dict[str, Any] = dict(values)
        np.savez_compressed(buffer, **members)
        write_bytes(self.folder / f"{name}.npz", buffer.getvalue())

    def events(self, events: list[dict[str, Any]]) -> None:
        """Append to events.jsonl."""
        self.check()
        write_all(self._events, "".join(json.dumps(event) + "\n" for event in events).encode())

    def events_written(self) -> int:
        """Bytes of events.jsonl, all of them on the disk."""
        self.check()
        os.fsync(self._events)
        return os.fstat(self._events).st_size

    def status(self, state: str, reason: str | None = None, **details: Any) -> None:
        """Write status.json."""
        now = datetime.now(UTC).isoformat("T", "seconds")
        self.json("status.json", {"state": state, "reason": reason, "time": now, **details})

    def close(self, state: str, reason: str | None = None, *, trace: str | None = None, **details: Any) -> None:
        """Write the final status, then a traceback, then the checksums; once more, after a failure, with what it was.

        On a disk that is full there is room for them: what was kept for it, and temporary files, go first.
        """
        if not self._closed:
            os.close(self._events)
            self._closed = True
        self.check()
        self._clear()
        self.status(state, reason, **details)
        if trace:
            self.text(TRACEBACK, trace)
        names = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        kept = sorted(name for name in names if not name.startswith(f"{CHECKPOINTS}/"))
        self.text(SUMS, "".join(f"{sha256(names[name])}  {name}\n" for name in kept))

    def _clear(self) -> None:
        for left_over in self.folder.rglob("*.tmp"):
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()


@dataclass(frozen=True)
class Run:
    """A run folder, read; files are opened when asked for."""

    folder: Path

    @cached_property
    def files(self) -> Reader:
        return Reader(self.folder)

    @property
    def placed(self) -> bool:
        """Whether it stands where a run of a results folder stands, as far as names tell; a copy need not."""
        return bool(SEED.fullmatch(self.folder.name) and HASH.fullmatch(self.folder.parent.name))

    @property
    def out(self) -> Path:
        """The results folder that it stands in; see `run_folder`. Raises StoreError where it stands in none."""
        if not self.placed or len(self.folder.parents) < DEPTH:
            raise StoreError(
                f"Expected {self.folder} to be a run's folder, SCENARIO/STRATEGY/HASH/seed0 below a results folder, "
                "but it is a copy elsewhere; name the one in a results folder."
            )
        return self.folder.parents[DEPTH - 1]

    @property
    def seed(self) -> int:
        return int(self.folder.name.removeprefix("seed") if self.placed else self.config.get("seed", 0))

    @property
    def config_hash(self) -> str:
        return self.folder.parent.name if self.placed else short_hash(self.config.get("identity", {}))

    @property
    def strategy(self) -> str:
        return self.folder.parent.parent.name if self.placed else str(self.config.get("strategy"))

    @property
    def scenario(self) -> str:
        return self.folder.parents[2].name if self.placed else str(self.env["manifest"].get("scenario"))

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.files.json("config.json")

    @cached_property
    def env(self) -> dict[str, Any]:
        return self.files.json("env.json")

    @cached_property
    def status(self) -> dict[str, Any]:
        status = {"reason": None} | self.files.json("status.json")
        if status["state"] not in STATES:
            raise self.files.unlike("status.json", f"to say one of {', '.join(STATES)} but got {status['state']!r}")
        if status["state"] == DONE and not self.sealed:
            return status | {"state": INTERRUPTED, "reason": UNSEALED}
        return status

    @property
    def sealed(self) -> bool:
        """Whether the checksums, which are written last, cover the status."""
        return "status.json" in self.files.sums

    @property
    def state(self) -> str:
        """The run's state; a run that died without a word still says `running`."""
        return str(self.status["state"])

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of `name`.npz. Raises StoreError."""
        return dict(self.files.loaded(f"{name}.npz"))

    def array(self, name: str) -> npt.NDArray[Any]:
        """An array below `logits/`. Raises StoreError."""
        return np.asarray(self.files.loaded(f"logits/{name}.npy"))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json of a run that is done."""
        return self.files.json("metrics.json")


def finished(folder: Path) -> Run | None:
    """The run in a folder, if it is done: status and checksums are written."""
    run = Run(folder)
    return run if os.path.exists(folder / SUMS) and run.state == DONE else None


def find_runs(out: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[Run]:
    """Every run below a results folder, in a fixed order. say: is told of folders with names that no run has.

    Raises:
        StoreError: the folder does not exist.
    """
    if not os.path.isdir(out):  # of a path that is too long, too
        raise StoreError(
            f"Expected a results folder at {out} but there is none; make one with `clbench run`, or name another with "
            "--runs."
        )
    for folder in sorted(out.glob("*/*/*/seed*"), key=_order):
        if SEED.fullmatch(folder.name) and any(os.path.lexists(folder / name) for name in ("status.json", SUMS)):
            parts = folder.parts[-DEPTH:]
            if Run(folder).placed and all(part.isprintable() for part in parts):
                yield Run(folder)
            else:
                say(f"{folder}: left out, for no run of clbench has such a name")


def _order(folder: Path) -> tuple[tuple[str, ...], int, str]:
    found = SEED.fullmatch(folder.name)
    return folder.parts[-DEPTH:-1], int(found[1]) if found else -1, folder.name


def run_name(run: Run) -> str:
    """`scenario/strategy/hash/seed0`."""
    return "/".join(run.folder.parts[-DEPTH:])


def find_run(out: Path, name: str) -> Run | None:
    """The run that a folder's path, or the start of a config hash with or without `/seed0`, names; None if none does.

    Raises:
        UsageError: several runs have the name.
    """
    if os.path.isfile(Path(name) / "status.json"):
        return Run(Path(name).resolve())
    prefix, _, seed = name.partition("/")
    if len(prefix) < PREFIX or not os.path.isdir(out):
        return None
    seeds = [run for run in find_runs(out) if run.config_hash.startswith(prefix)]
    found = [run for run in seeds if seed in ("", str(run.seed), f"seed{run.seed}")]
    if len(found) > 1:
        listing = ", ".join(f"{run.config_hash}/seed{run.seed}" for run in found)
        raise UsageError(f"Expected one run named {name!r} but {len(found)} are: {listing}; name one of them.")
    return found[0] if found else None
