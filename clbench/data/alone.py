"""One process at a time where files are made below a data root, by a lock; see `clbench.lock`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clbench.errors import DataError
from clbench.lease import Taken
from clbench.lock import holder, take


@contextmanager
def alone(path: Path, what: str, *, parents: bool = False) -> Iterator[None]:
    """Have the making of something to oneself: a lock on the file `path`, which goes when it is over.

    what: is made, for the sentences. The folder of `path` is made where it is missing; with `parents` those above, too.

    Raises:
        DataError: another process makes it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=parents, exist_ok=True)
        lock = take(path)
    except Taken as error:
        who = holder(path)
        by = f"{who[0]} has been at it since {who[1]}" if who else "another process has just begun"
        raise DataError(
            f"Expected to prepare {what} alone but {by}; wait for it, or stop it, and run this again."
        ) from error
    except OSError as error:
        raise DataError(f"Expected to write {path} but got: {error.strerror}; make the folder writable.") from error
    try:
        yield
    finally:
        lock.release(remove=True)
