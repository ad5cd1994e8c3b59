"""The run folder: what a run leaves behind, how it is written and read back. Needs no torch.

    <out>/<scenario>/<strategy>/<config hash>/seed<k>/
        config.json    the resolved configuration
        env.json       versions, machine, data manifest, initial weights
        recipe.toml    a copy of the recipe that chose options, see clbench/running/recipe.py; only where one did
        plugin/        <kind>/<file>, a copy of each plugin that was named by the path of a file; kept as text, never
                       run; only where there are such
        absent.txt     paths of images that belong to the scenario but could not be had; only where there are any
        events.jsonl   every step's numbers
        logits/        task<t>.npy (N_test, C) float32 after each task; labels.npy (N_test, C) uint8; scored.npy
                       (N_test, C) bool, False where a label counts in no metric and labels.npy says 0; only where
                       there are such, as on a validation view
        attention.npz  where a head with label queries looks, see clbench/running/attention.py; only with such a head
        metrics.json   what `clbench.metrics.evaluate` gives, and under `cost` what the run took: steps, images,
                       seconds, bytes, parameters (`clbench.running.recording.costs`)
        status.json    running, done, failed, diverged or interrupted, with the reason; of a run that diverged the
                       task, step, learning rate and ids of the batch; `may_pass` where a failure is the machine's
        traceback.txt  of a run that failed
        checkpoint/    while it runs, or is to go on: see clbench/store/checkpoint.py
        SHA256SUMS     of all the others, written last

Beside it lies `.seed<k>.lock`, which a running process holds.

No file is ever read as code: JSON, text, and `.npy` and `.npz` without objects.
"""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.errors import StoreError, UsageError
from clbench.files import sha256, write_all, write_bytes, write_json

SCHEMA = 1
"""Version of the run folder's files and of the report's JSON."""

DONE, RUNNING, FAILED, DIVERGED, INTERRUPTED = "done", "running", "failed", "diverged", "interrupted"
STATES = (DONE, RUNNING, FAILED, DIVERGED, INTERRUPTED)
AGAIN = "run it again with --rerun, or remove the folder"
SUMS = "SHA256SUMS"
TRACEBACK = "traceback.txt"
CHECKPOINTS = "checkpoint"
"""The folder of checkpoints in a run folder; no checksums here, they have their own."""
DEPTH = 4
"""Folders from a results folder down to a run's."""
PREFIX = 4
"""Digits of a configuration's hash that name a run."""


def run_folder(out: Path, scenario: str, strategy: str, config_hash: str, seed: int) -> Path:
    """Where a run's folder is."""
    return out / scenario / strategy / config_hash / f"seed{seed}"


def plugin_copy(kind: str, filename: str) -> str:
    """Where in a run's folder a plugin that was named by its path is copied to."""
    return f"plugin/{kind}/{filename}"


class RunWriter:
    """Writes one run folder from its start to its end.

    events: bytes of events.jsonl that a run which goes on keeps; None for a run that starts afresh.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(self, folder: Path, events: int | None = None) -> None:
        self.folder, self._closed = folder, False
        try:
            if events is None and folder.exists():
                shutil.rmtree(folder)
            (folder / "logits").mkdir(parents=True, exist_ok=True)
            for name in (SUMS, TRACEBACK):
                (folder / name).unlink(missing_ok=True)
            for left_over in folder.rglob(".*.tmp"):
                left_over.unlink()
            self._events = os.open(folder / "events.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self._events, events or 0)
        except OSError as error:
            raise StoreError(
                f"Expected to write results to {folder} but got: {error.strerror}; choose another folder with --out."
            ) from error

    def json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one of the folder's JSON files."""
        write_json(self.folder / name, value)

    def text(self, name: str, value: str) -> None:
        """Write one of the folder's text files."""
        write_bytes(self.folder / name, value.encode())

    def copy(self, name: str, content: bytes) -> None:
        """Write a copy of a file, in a folder of its own below the run's."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / name, content)

    def array(self, name: str, value: npt.NDArray[Any]) -> None:
        """Write an array below `logits/`."""
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        write_bytes(self.folder / "logits" / f"{name}.npy", buffer.getvalue())

    def arrays(self, name: str, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write several arrays as one `name`.npz. Raises ValueError for one of objects."""
        if any(value.dtype.hasobject for value in values.values()):  # older NumPy would pickle them unasked
            raise ValueError("Object arrays cannot be saved: no file of a run is ever read as code")
        buffer = io.BytesIO()
        members: dict[str, Any] = dict(values)
        np.savez_compressed(buffer, **members)
        write_bytes(self.folder / f"{name}.npz", buffer.getvalue())

    def events(self, events: list[dict[str, Any]]) -> None:
        """Append to events.jsonl."""
        write_all(self._events, "".join(json.dumps(event) + "\n" for event in events).encode())

    def events_written(self) -> int:
        """Bytes of events.jsonl, all of them on the disk."""
        os.fsync(self._events)
        return os.fstat(self._events).st_size

    def status(self, state: str, reason: str | None = None, **details: Any) -> None:
        """Write status.json."""
        now = datetime.now(UTC).isoformat("T", "seconds")
        self.json("status.json", {"state": state, "reason": reason, "time": now, **details})

    def close(self, state: str, reason: str | None = None, **details: Any) -> None:
        """Write the final status, then the checksums; once more, after a failure, with what it was."""
        if not self._closed:
            os.close(self._events)
            self._closed = True
        self.status(state, reason, **details)
        names = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        kept = sorted(name for name in names if not name.startswith(f"{CHECKPOINTS}/"))
        self.text(SUMS, "".join(f"{sha256(names[name])}  {name}\n" for name in kept))


@dataclass(frozen=True)
class Run:
    """A run folder, read; files are opened when asked for."""

    folder: Path

    @property
    def out(self) -> Path:
        """The results folder that it stands in; see `run_folder`."""
        return self.folder.parents[DEPTH - 1]

    @property
    def seed(self) -> int:
        return int(self.folder.name.removeprefix("seed"))

    @property
    def config_hash(self) -> str:
        return self.folder.parent.name

    @property
    def strategy(self) -> str:
        return self.folder.parent.parent.name

    @property
    def scenario(self) -> str:
        return self.folder.parent.parent.parent.name

    @cached_property
    def config(self) -> dict[str, Any]:
        return self._json("config.json")

    @cached_property
    def env(self) -> dict[str, Any]:
        return self._json("env.json")

    @cached_property
    def status(self) -> dict[str, Any]:
        status = self._json("status.json")
        if status.get("state") not in STATES:
            raise StoreError(
                f"Expected state in {self.folder / 'status.json'} to be one of {', '.join(STATES)} "
                f"but got {status.get('state')!r}; run it again with --rerun."
            )
        return status

    @property
    def state(self) -> str:
        """The run's state; a run that died without a word still says `running`."""
        return str(self.status["state"])

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of `name`.npz. Raises StoreError."""
        file = self.folder / f"{name}.npz"
        self._check(file)
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as found:
                return dict(found)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise StoreError(f"Expected arrays in {file} but got: {error}; {AGAIN}.") from error

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json of a run that is done."""
        return self._json("metrics.json")

    @cached_property
    def _sums(self) -> dict[str, str]:
        file = self.folder / SUMS
        if not file.exists():
            return {}
        lines = (line.split("  ", 1) for line in self._text(file).splitlines())
        return {parts[1]: parts[0] for parts in lines if len(parts) == 2}

    @staticmethod
    def _text(file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"Expected {file} to be a text file but got: {error}; run it again with --rerun, or remove the folder."
            ) from error

    def _check(self, file: Path) -> None:
        """Raises StoreError where a file that is there is not as its checksum says."""
        expected = self._sums.get(file.name)
        if expected is not None and file.exists() and expected != sha256(file):
            raise StoreError(f"Expected {file} to be as the run wrote it but its checksum differs; {AGAIN}.")

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"Expected {file} to be a JSON file but got: {error}; {AGAIN}.") from error
        self._check(file)
        if not isinstance(value, dict):
            raise StoreError(f"Expected {file} to hold a JSON object but got {type(value).__name__}; {AGAIN}.")
        return value


def finished(folder: Path) -> Run | None:
    """The run in a folder, if it is done."""
    run = Run(folder)
    return run if (folder / SUMS).exists() and run.state == DONE else None


def find_runs(out: Path) -> Iterator[Run]:
    """Every run below a results folder, in a fixed order.

    Raises:
        StoreError: the folder does not exist.
    """
    if not out.is_dir():
        raise StoreError(
            f"Expected a results folder at {out} but there is none; make one with `clbench run`, or name another with "
            "--runs."
        )
    for folder in sorted(out.glob("*/*/*/seed*"), key=_order):
        if folder.name.removeprefix("seed").isdigit() and (folder / "status.json").exists():
            yield Run(folder)


def _order(folder: Path) -> tuple[tuple[str, ...], int, str]:
    number = folder.name.removeprefix("seed")
    return folder.parts[-DEPTH:-1], int(number) if number.isdigit() else -1, folder.name


def run_name(run: Run) -> str:
    """`scenario/strategy/hash/seed0`."""
    return "/".join(run.folder.parts[-DEPTH:])


def find_run(out: Path, name: str) -> Run | None:
    """The run that a folder's path, or the start of a config hash with or without `/seed0`, names; None if none does.

    Raises:
        UsageError: several runs have the name.
    """
    folder = Path(name)
    if (folder / "status.json").is_file():
        return Run(folder.resolve())
    prefix, _, seed = name.partition("/")
    if len(prefix) < PREFIX or not out.is_dir():
        return None
    seeds = [run for run in find_runs(out) if run.config_hash.startswith(prefix)]
    found = [run for run in seeds if seed in ("", str(run.seed), f"seed{run.seed}")]
    if len(found) > 1:
        listing = ", ".join(f"{run.config_hash}/seed{run.seed}" for run in found)
        raise UsageError(f"Expected one run named {name!r} but {len(found)} are: {listing}; name one of them.")
    return found[0] if found else None
