"""One process at a time, by the operating system's lock on a file.

The kernel gives the lock back when its holder ends, however it ends, so no lock is ever stale on one machine. On a
network file system the server does the same for a machine that is gone (NFS 4, or Lustre mounted with flock).
"""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from clbench.files import write_all


class Taken(Exception):
    """Another process has the lock at this moment."""


class NoLocks(Exception):
    """A file system without locks; says what it answered."""


class Lock:
    """The lock on a file, which is made where there is none and says who has it; held until it is released.

    Raises:
        Taken: another process has it.
        NoLocks: the file system has none.
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._file)
            os.ftruncate(self._file, 0)
            now = datetime.now(UTC).isoformat("T", "seconds")
            who = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
            write_all(self._file, json.dumps(who).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give it back. The file stays."""
        os.close(self._file)


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Taken from error
    except OSError as error:
        raise NoLocks(error.strerror) from error


def holder(path: Path) -> tuple[str, str] | None:
    """Who holds the lock on a file (`process 7 on host`) and since when; None where it does not say so yet."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']}", str(who["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
