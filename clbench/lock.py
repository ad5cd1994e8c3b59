"""One process at a time, by the operating system's lock on a file.

The kernel gives the lock back when its holder ends, however it ends, so no lock is ever stale on one machine. On a
network file system the server does the same for a machine that is gone (NFS 4, or Lustre mounted with flock). A file
system without locks gets a lease instead, see `clbench.lease`. So does one whose locks hold within one machine alone
(NFS mounted with nolock, Lustre with localflock) where CLBENCH_LOCK=lease says so, in every process that uses it.
"""

import errno
import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from clbench.errors import UsageError
from clbench.files import write_all
from clbench.lease import Lease, Taken, leased, leaseholder

KIND = "CLBENCH_LOCK"
KINDS = ("auto", "lease")
ABSENT = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without locks answers."""


class NoLocks(Exception):
    """A file system without locks."""


def take(path: Path) -> "Lock | Lease":
    """Have a lock until it is released; its file is made where there is none, in a folder that is there.

    Raises:
        Taken: another process has it.
        UsageError: CLBENCH_LOCK or CLBENCH_LEASE_S is set to what it cannot be.
        OSError: the file cannot be opened or written.
    """
    if not by_lease():
        try:
            return Lock(path)
        except NoLocks:
            pass
    return Lease(path)


def by_lease() -> bool:
    """Whether the kernel's locks are not to be used even where there are some. Raises UsageError."""
    kind = os.environ.get(KIND) or KINDS[0]
    if kind not in KINDS:
        raise UsageError(f"Expected {KIND} to be {' or '.join(KINDS)} but got {kind!r}.")
    return kind == "lease"


class Lock:
    """The kernel's lock on a file, which says who has it; held until it is released.

    Programs that its process starts do not inherit it (close on exec), and no more do forked children.

    Raises:
        Taken: another process has it.
        NoLocks: the file system has none.
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = _locked(path)
        _held.add(self)
        try:
            os.ftruncate(self._file, 0)
            now = datetime.now(UTC).isoformat("T", "seconds")
            who = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
            write_all(self._file, json.dumps(who).encode())
        except BaseException:
            self.release()
            raise

    def lost(self) -> bool:
        """Whether the locked file is no longer the one at its path, so that another process may have locked that."""
        return self._file is None or not _is_at(self._file, self.path)

    def release(self, remove: bool = False) -> None:
        """Give it back. remove: the file as well, where it is still the one that is locked."""
        if self._file is None:
            return
        if remove and not self.lost():
            self.path.unlink()  # who has it open already will see that it is not at the path any more
        fcntl.flock(self._file, fcntl.LOCK_UN)  # closing alone leaves it to a child that is being forked just now
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        _held.discard(self)


_held: set[Lock] = set()
"""All of this process."""


def _let_go() -> None:
    """In a forked child: its copies would keep a lock for as long as it lives, after its parent was killed."""
    for lock in list(_held):
        lock._close()  # to unlock would take it from the parent


os.register_at_fork(after_in_child=_let_go)


def _locked(path: Path) -> int:
    """A file descriptor of the file at `path`, which nobody else has locked. Raises as `Lock` does."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError as error:
            os.close(file)
            raise Taken from error
        except OSError as error:
            os.close(file)
            if error.errno in ABSENT:
                raise NoLocks(error.strerror) from error
            raise
        os.close(file)  # it was removed in between


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a process has the lock on a file at this moment; see `leased` for what is known of a lease."""
    if by_lease():
        return leased(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError) or (error.errno in ABSENT and leased(path))
    finally:
        os.close(file)
    return False


def holder(path: Path) -> tuple[str, str] | None:
    """Who holds the lock on a file (`process 7 on host`) and since when; None where it does not say so yet."""
    try:
        who = leaseholder(path) or json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']}", str(who["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
