import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from clbench.errors import UsageError
from clbench.lease import Lease, Taken
from clbench.lock import Lock, holder, is_locked, take


def test_one_at_a_time_and_the_file_says_who(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    mine = Lock(path)
    who = json.loads(path.read_text())
    assert (who["host"], who["pid"]) == (socket.gethostname(), os.getpid())
    assert datetime.fromisoformat(who["since"]).tzinfo is not None
    assert holder(path) == (f"process {os.getpid()} on {who['host']}", who["since"])
    with pytest.raises(Taken):
        Lock(path)
    mine.release()
    assert path.exists()
    Lock(path).release()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "\x00"])
def test_a_holder_that_has_not_written_its_name_yet(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert holder(tmp_path / "lock") is None


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").write_text("")
        Lock(tmp_path / "file" / "lock")


def test_the_file_that_is_locked_is_the_one_at_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed, or put in its place by another, between opening it and locking it: then it is opened again."""
    path, flock, changes = tmp_path / "lock", fcntl.flock, [path_removed, path_replaced]

    def raced(file: int, how: int) -> None:
        if changes:
            changes.pop()(path)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", raced)
    mine = Lock(path)
    assert not changes and not mine.lost() and holder(path) is not None
    with pytest.raises(Taken):
        Lock(path)
    mine.release()


def path_removed(path: Path) -> None:
    path.unlink()


def path_replaced(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.touch()


@pytest.mark.parametrize("change", [path_removed, path_replaced])
def test_a_holder_learns_that_its_file_is_gone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    mine = Lock(tmp_path / "lock")
    assert not mine.lost()
    change(tmp_path / "lock")
    assert mine.lost()
    mine.release()


def forked(wait: int, ready: int, ask: int, lock: Lock) -> int:
    """A child that ends a `with` of its parent's lock, says that it is there, and lives until `ask` is closed."""
    child = os.fork()
    if not child:
        os.close(ask)
        lock.release()
        os.write(ready, b".")
        os.read(wait, 1)
        os._exit(0)
    return child


def test_a_forked_child_does_not_release_its_parents_lock_and_does_not_keep_it(tmp_path: Path) -> None:
    mine = Lock(tmp_path / "lock")
    (wait, ask), (there, ready) = os.pipe(), os.pipe()
    child = forked(wait, ready, ask, mine)
    os.read(there, 1)
    with pytest.raises(Taken):
        Lock(tmp_path / "lock")
    mine.release()
    Lock(tmp_path / "lock").release()  # while the child lives
    os.close(ask)
    assert os.waitpid(child, 0)[1] == 0


def test_a_lock_is_free_when_its_holder_is_killed_though_a_child_of_it_lives(tmp_path: Path) -> None:
    (wait, ask), (there, ready) = os.pipe(), os.pipe()
    holds = os.fork()
    if not holds:
        forked(wait, ready, ask, Lock(tmp_path / "lock"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(holds, 0)
    os.read(there, 1)
    Lock(tmp_path / "lock").release()
    os.close(ask)


def test_a_program_that_is_started_does_not_inherit_it(tmp_path: Path) -> None:
    mine = Lock(tmp_path / "lock")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as started:
        mine.release()
        Lock(tmp_path / "lock").release()
        started.communicate()


def test_a_lock_may_take_its_file_along(tmp_path: Path) -> None:
    Lock(tmp_path / "lock").release(remove=True)
    assert list(tmp_path.iterdir()) == []
    mine = Lock(tmp_path / "lock")
    path_replaced(tmp_path / "lock")
    mine.release(remove=True)
    assert (tmp_path / "lock").exists()  # another's


def answers(number: int) -> Callable[[int, int], None]:
    """An flock that fails."""

    def flock(file: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_has_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "lock"
    monkeypatch.setattr(fcntl, "flock", answers(number))
    assert not is_locked(path)
    mine = take(path)
    assert isinstance(mine, Lease) and is_locked(path)
    assert holder(path) == (f"process {os.getpid()} on {socket.gethostname()}", json_of(path)["since"])
    mine.release()
    assert not is_locked(path) and holder(path) is None


def json_of(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.with_name("lock.1").read_text().partition("\n")[0])
    return found


def test_a_file_system_with_locks_has_none_unless_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    mine = take(path)
    assert isinstance(mine, Lock) and is_locked(path)
    mine.release()
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]
    monkeypatch.setenv("CLBENCH_LOCK", "lease")
    leased = take(path)
    assert isinstance(leased, Lease) and is_locked(path)
    leased.release(remove=True)
    monkeypatch.setenv("CLBENCH_LOCK", "flock")
    with pytest.raises(UsageError, match="Expected CLBENCH_LOCK to be auto or lease but got 'flock'"):
        take(path)


def test_what_else_a_disk_answers_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", answers(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        take(tmp_path / "lock")
