"""How far a run is: what the process that has it writes into its folder every few seconds. Needs no torch.

It is for looking at: no file of the record, in no checksum, gone when the run has ended. A process that was killed
leaves its last one behind, which grows stale.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clbench.errors import StoreError
from clbench.store import shape

FILE = "heartbeat.json"
SCHEMA = 1
INTERVAL = 10.0
"""Seconds from one to the next."""
SECOND = 1.0
"""Seconds from the first to the second: the first of a run is written before it knows its steps."""
STALE = 3
"""Intervals after which one looks as if nobody wrote the next."""


@dataclass(frozen=True)
class Place:
    """How far a run is.

    task: from 1; step, steps: those of the task that are done, and all of them; done_steps, total_steps: of the run.
    images_per_second: of the stream, since this process began the task; None where it has learned none of it yet.
    """

    task: int
    tasks: int
    step: int
    steps: int
    done_steps: int
    total_steps: int
    images_per_second: float | None = None


@dataclass(frozen=True)
class Heartbeat(Place):
    """A place, and who is there.

    since: when the process took the run up; at: when this was written; both ISO 8601, by the clock of `host`. beat: one
    more each time. interval_s: seconds to the next.
    """

    host: str = ""
    pid: int = 0
    since: str = ""
    at: str = ""
    beat: int = 0
    interval_s: float = INTERVAL
    schema: int = SCHEMA

    def stale(self, now: datetime | None = None) -> bool:
        """Whether it looks as if its process were gone, for showing: by two clocks, which decide nothing."""
        age = (now or datetime.now(UTC)) - datetime.fromisoformat(self.at)
        return age.total_seconds() > STALE * self.interval_s


def read(folder: Path) -> Heartbeat | None:
    """The last one in a run folder; None where there is none, or none that can be read."""
    try:
        value = json.loads((folder / FILE).read_text(encoding="utf-8"))
        shape.check(value, shape.HEARTBEAT, "heartbeat")
        times = [datetime.fromisoformat(value[name]) for name in ("at", "since")]
        if value["schema"] != SCHEMA or any(time.tzinfo is None for time in times):
            return None
        return Heartbeat(**{each.name: value[each.name] for each in fields(Heartbeat)})
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def beating(
    folder: Path, place: Callable[[], Place], check: Callable[[], None], interval: float = INTERVAL
) -> Iterator[None]:
    """Keep a heartbeat in a run folder: one now, one soon, and one every `interval` seconds, from a thread of its own.

    place: how far the run is; called from that thread. check: raises StoreError where the folder has become another's,
    see `clbench.store.lock.held`; then this one says nothing more. A disk that does not take it is no harm to the run.
    """
    since, over = _now(), threading.Event()

    def beat(number: int) -> None:
        check()
        who: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
        _write(folder, {**asdict(place()), **who, "at": _now(), "beat": number, "interval_s": interval})

    def keep_on() -> None:
        number = 0
        with suppress(StoreError):
            while True:
                with suppress(OSError):
                    beat(number)
                number += 1
                if over.wait(min(SECOND, interval) if number == 1 else interval):
                    return

    thread = threading.Thread(target=keep_on, name="clbench-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(StoreError, OSError):
            check()
            (folder / FILE).unlink()


def _write(folder: Path, value: Mapping[str, Any]) -> None:
    """In one step, and without waiting for the disk: it need not outlast the machine."""
    temporary = folder / f".{FILE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps({"schema": SCHEMA, **value}), encoding="utf-8")
    temporary.replace(folder / FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat("T", "seconds")
