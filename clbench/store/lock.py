"""One process on one run folder, by a lock beside it; see `clbench.lock`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clbench import lock
from clbench.errors import StoreError
from clbench.lease import Lease, Taken


class Busy(StoreError):
    """A run that another process has at this moment."""


def lock_file(folder: Path) -> Path:
    """The file beside a run folder that its process locks. It stays: removing it would let two processes in."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """Have a run folder to oneself; gives what raises StoreError where that is over, to be called before writing.

    Raises:
        Busy: another process has it; says who and since when.
        StoreError: the folder cannot be written.
    """
    mine = _take(folder)

    def check() -> None:
        if mine.lost():
            raise StoreError(
                f"Expected the lock {mine.path} to stay while {folder} is run but it was removed, or taken over while "
                "this process stood still, so that another may run it too; this one stops here, and the same command "
                "goes on."
            )

    try:
        yield check
    finally:
        mine.release()


def _take(folder: Path) -> lock.Lock | Lease:
    path = lock_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return lock.take(path)
    except Taken as error:
        raise Busy(
            f"Expected {folder} to be free but {holder(folder)}; wait for it, or stop it and run this again."
        ) from error
    except OSError as error:
        raise StoreError(
            f"Expected to write results to {folder} but got: {error.strerror}; choose another folder with --out."
        ) from error


def is_held(folder: Path) -> bool:
    """Whether a process has a run folder at this moment, as far as a lock tells."""
    return lock.is_locked(lock_file(folder))


def holder(folder: Path) -> str:
    """Who has a run folder and since when, as far as its lock file says."""
    who = lock.holder(lock_file(folder))
    return f"{who[0]} has been running it since {who[1]}" if who else "another process has just begun to run it"
