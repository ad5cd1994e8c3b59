"""One process at a time by a lease: a file that its holder renews, for disks that have not the kernel's locks.

The lease on `path` is the file `path.N` with the highest N. It is made by an exclusive creation, in which one process
alone succeeds, on NFS 3 and later as well (open(2)). Its holder writes a number that rises into it. Whoever wants it
watches: a number that rises is a holder that lives; one that has not risen for the lease's seconds, by the monotonic
clock of the watcher, is a holder that is gone, and `path.N+1` may be made. Clocks of two machines are never compared.

The new holder removes `path.N` before it begins, so that the old one, if it only stood still, finds its file gone: it
looks at each `lost()`. That is no fence around a write: what the old one had begun after a look that it passed may come
to the disk later. A number is never used twice, which is why the last file stays, marked as free.
"""

import json
import math
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clbench.errors import UsageError
from clbench.files import write_all

SECONDS = "CLBENCH_LEASE_S"
DEFAULT_SECONDS = 60.0
RENEWALS = 6
"""In a lease's seconds."""
LOOKS = 60
"""Of a watcher in a lease's seconds."""
WIDTH = 20
"""Characters of the number that rises, which is written over itself."""
FREE = "free".rjust(WIDTH).encode()


class Taken(Exception):
    """Another process has it at this moment."""


class Lease:
    """The lease on a path, renewed by a thread until it is released; waits where it cannot know yet.

    A holder that lives is known by its next renewal, one that is gone after the seconds that its own lease says.

    Raises:
        Taken: another process has it.
        UsageError: CLBENCH_LEASE_S is no number of seconds.
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token, self._over, seconds = secrets.token_hex(16), threading.Event(), lease_seconds()
        now = datetime.now(UTC).isoformat("T", "seconds")
        who = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "token": self._token}
        self._head = (json.dumps({**who, "lease_s": seconds}) + "\n").encode()
        self._file: int | None
        self._own, self._file = _made(path, _after(path), self._head + _number(0))
        _held.add(self)
        self._thread = threading.Thread(
            target=self._renew, args=(seconds / RENEWALS,), name="clbench-lease", daemon=True
        )
        self._thread.start()

    def lost(self) -> bool:
        """Whether another process has taken it over, or the file was removed."""
        found = None if self._file is None else _read(self._own)
        return found is None or not found.startswith(self._head)

    def release(self, remove: bool = False) -> None:
        """Give it back. remove: means nothing here: the file stays, marked as free."""
        if self._file is None:
            return
        self._over.set()
        self._thread.join()
        self._write(FREE)
        self.close()

    def close(self) -> None:
        """Give up the file without a word, as a forked child has to."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        _held.discard(self)

    def _renew(self, every: float) -> None:
        beat = 0
        while not self._over.wait(every):
            beat += 1
            self._write(_number(beat))

    def _write(self, number: bytes) -> None:
        """Through the open file, not the name: where another has it now this changes nothing of theirs."""
        assert self._file is not None
        with suppress(OSError):
            os.pwrite(self._file, number, len(self._head))
            os.fsync(self._file)


_held: set[Lease] = set()
"""All of this process."""


def _let_go() -> None:
    for lease in list(_held):
        lease.close()  # no thread renews it in a forked child


os.register_at_fork(after_in_child=_let_go)


def lease_seconds() -> float:
    """How long a lease lasts that is not renewed. Raises UsageError."""
    text = os.environ.get(SECONDS, "")
    try:
        seconds = float(text or DEFAULT_SECONDS)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"Expected {SECONDS} to be a number of seconds above 0 but got {text!r}.")
    return seconds


def leased(path: Path) -> bool:
    """Whether there is a lease that nobody has given back; of a holder that was killed this is said until one waits."""
    found = _read(_file(path, _latest(path)))
    return found is not None and not found.endswith(FREE)


def leaseholder(path: Path) -> dict[str, Any] | None:
    """What the holder of a lease says of itself; None where there is none, or it has said nothing yet."""
    found = _read(_file(path, _latest(path)))
    if found is None or found.endswith(FREE):
        return None
    try:
        head: dict[str, Any] = json.loads(found.partition(b"\n")[0])
        return head
    except ValueError:
        return None


def _after(path: Path) -> int:
    """The number of the last lease, once it is free or its holder is gone; 0 for none. Raises Taken."""
    first, since = None, 0.0
    while True:
        now = time.monotonic()
        number = _latest(path)
        found = _read(_file(path, number))
        if found is None and number:
            raise Taken  # it is being replaced
        if found is None or found.endswith(FREE):
            return number
        if first is None:
            first, since = (number, found), time.monotonic()
        elif first != (number, found):
            raise Taken
        lasts = _lasts(found)
        if now - since >= lasts:
            return number
        time.sleep(lasts / LOOKS)


def _lasts(found: bytes) -> float:
    """Seconds, as the holder has said; its renewals keep to them."""
    try:
        return float(json.loads(found.partition(b"\n")[0])["lease_s"])
    except (ValueError, KeyError, TypeError):
        return lease_seconds()


def _made(path: Path, last: int, content: bytes) -> tuple[Path, int]:
    """The next lease after the last: its file, and the open file. Raises Taken where another was faster."""
    own = _file(path, last + 1)
    try:
        file = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise Taken from error
    try:
        write_all(file, content)
        os.fsync(file)
        if _latest(path) != last + 1:  # the folder's list that we went by was an old one
            raise Taken
    except BaseException:
        os.close(file)
        with suppress(OSError):
            own.unlink()
        raise
    for number in _numbers(path):
        if number <= last:
            _file(path, number).unlink(missing_ok=True)
    return own, file


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _numbers(path: Path) -> list[int]:
    """Those of the files that there are."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    ends = [name.removeprefix(f"{path.name}.") for name in names if name.startswith(f"{path.name}.")]
    return [int(end) for end in ends if end.isdecimal() and end.isascii()]


def _latest(path: Path) -> int:
    return max(_numbers(path), default=0)


def _read(file: Path) -> bytes | None:
    """A file's content, as it is now: to open a file is to ask the server. None where it cannot be had."""
    try:
        return file.read_bytes()
    except OSError:
        return None


def _number(beat: int) -> bytes:
    return str(beat).rjust(WIDTH).encode()
