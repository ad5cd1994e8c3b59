import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clbench import lease
from clbench.errors import UsageError
from clbench.lease import DEFAULT_SECONDS, SECONDS, Lease, Taken, lease_seconds, leased, leaseholder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Clock:
    """Time that passes only in sleep, so that nobody waits; `on_sleep` is what others do meanwhile."""

    def __init__(self) -> None:
        self.now, self.on_sleep = 0.0, list[Callable[[], None]]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.on_sleep:
            self.on_sleep.pop()()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    return made


def gone(path: Path) -> Lease:
    """A lease whose holder has stopped to renew it, as if it were dead or stood still."""
    mine = Lease(path)
    mine._over.set()
    mine._thread.join()
    return mine


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def test_one_at_a_time_and_the_file_says_who(path: Path, clock: Clock) -> None:
    assert not leased(path) and leaseholder(path) is None
    mine = Lease(path)
    who = leaseholder(path)
    assert who is not None and who["pid"] == os.getpid() and who["lease_s"] == DEFAULT_SECONDS
    assert leased(path) and not mine.lost() and names(path) == ["lock.1"]
    clock.on_sleep = [lambda: mine._write(b"7".rjust(20))]
    with pytest.raises(Taken):
        Lease(path)
    mine.release()
    mine.release()  # twice is once
    assert not leased(path) and leaseholder(path) is None
    Lease(path).release()
    assert names(path) == ["lock.2"]  # a number is never used twice
    assert clock.now < DEFAULT_SECONDS


def test_a_thread_renews_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0.06")
    mine, file = Lease(path), path.with_name("lock.1")
    first = file.read_bytes()
    while file.read_bytes() == first:
        time.sleep(0.001)
    assert not mine.lost()
    mine.release()
    assert not [thread for thread in threading.enumerate() if thread.name == "clbench-lease"]


def test_one_whose_holder_is_gone_is_taken_over_after_its_seconds(path: Path, clock: Clock) -> None:
    old = gone(path)
    mine = Lease(path)
    assert DEFAULT_SECONDS <= clock.now < 1.1 * DEFAULT_SECONDS
    assert old.lost() and not mine.lost() and names(path) == ["lock.2"]
    old.release()  # says nothing in the other's file
    assert leased(path) and not mine.lost()
    mine.release()


def test_the_seconds_are_those_that_the_holder_said(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher in a hurry must not take over from one that renews seldom."""
    gone(path)
    monkeypatch.setenv(SECONDS, "2")
    Lease(path).release()
    assert clock.now >= DEFAULT_SECONDS


def test_the_last_renewal_counts_and_not_the_first_look(path: Path, clock: Clock) -> None:
    """A holder that was slow, but is there in the watcher's last moment."""
    old = gone(path)
    clock.on_sleep = [lambda: None] * 58
    clock.on_sleep.insert(0, lambda: old._write(b"9".rjust(20)))
    with pytest.raises(Taken):
        Lease(path)
    assert not old.lost()


def test_one_that_is_given_back_while_it_is_watched(path: Path, clock: Clock) -> None:
    old = gone(path)
    clock.on_sleep = [old.release]
    Lease(path).release()
    assert clock.now < DEFAULT_SECONDS


def test_one_whose_maker_died_before_it_wrote_its_name(path: Path, clock: Clock) -> None:
    path.with_name("lock.1").touch()
    assert leased(path) and leaseholder(path) is None
    Lease(path).release()
    assert clock.now >= DEFAULT_SECONDS


def test_a_watcher_that_another_was_faster_than(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    gone(path)
    watched, took = lease._after, list[Lease]()

    def slow(path: Path) -> int:
        last = watched(path)
        monkeypatch.setattr(lease, "_after", watched)
        took.append(Lease(path))
        return last

    monkeypatch.setattr(lease, "_after", slow)
    with pytest.raises(Taken):
        Lease(path)
    assert not took[0].lost() and names(path) == ["lock.2"]
    took[0].release()


def test_an_old_list_of_the_folder_is_found_out(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network file system may give it: the numbers after the one it shows have come and gone."""
    for _ in range(3):
        Lease(path).release()
    mine = Lease(path)
    path.with_name("lock.1").write_bytes(lease.FREE)
    numbers, old = lease._numbers, [[1], [1]]
    monkeypatch.setattr(lease, "_numbers", lambda path: old.pop() if old else numbers(path))
    monkeypatch.setattr(lease, "_after", lambda path: lease._latest(path))
    with pytest.raises(Taken):
        Lease(path)
    assert not mine.lost() and names(path) == ["lock.1", "lock.4"]
    mine.release()


def test_a_holder_learns_that_its_file_was_removed(path: Path) -> None:
    mine = Lease(path)
    path.with_name("lock.1").unlink()
    assert mine.lost()
    mine.release()


def test_a_disk_that_takes_no_renewal_harms_nobody_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = gone(path)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    mine._write(lease._number(1))
    assert not mine.lost()
    mine.close()


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        Lease(tmp_path / "file" / "lock")
    assert not leased(tmp_path / "file" / "lock")


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_seconds_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(SECONDS, text)
    with pytest.raises(UsageError, match="Expected CLBENCH_LEASE_S to be a number of seconds above 0 but got"):
        lease_seconds()


# Real processes


def in_child(work: Callable[[], int]) -> int:
    child = os.fork()
    if not child:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return child


def killed(path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    """Leave a lease whose holder was killed."""

    def dies() -> int:
        os.environ[SECONDS] = seconds
        Lease(path)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.waitpid(in_child(dies), 0)


def test_a_killed_holder_and_eight_that_want_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(path, monkeypatch, "0.3")
    (wait, ask) = os.pipe()

    def wants() -> int:
        os.close(ask)
        try:
            mine = Lease(path)
        except Taken:
            return 1
        os.read(wait, 1)  # until all the others have ended
        return 2 if mine.lost() else 0

    children = [in_child(wants) for _ in range(8)]
    first = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(7)]
    os.close(ask)
    last = os.waitstatus_to_exitcode(os.wait()[1])
    os.close(wait)
    assert first == [1] * 7 and last == 0 and len(children) == 8
    assert names(path) == ["lock.2"]


@pytest.fixture
def stopped(path: Path) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A process with a lease of 0.3 seconds that stands still; what it says when it is asked whether it lost it."""
    (wait, ask), (there, ready) = os.pipe(), os.pipe()

    def holds() -> int:
        os.close(ask)
        os.environ[SECONDS] = "0.3"
        mine = Lease(path)
        os.write(ready, b".")
        os.read(wait, 1)
        os.write(ready, b"lost" if mine.lost() else b"mine")
        return 0

    child = in_child(holds)
    os.read(there, 1)
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)

    def says() -> bytes:
        os.kill(child, signal.SIGCONT)
        os.close(ask)
        os.waitpid(child, 0)
        return os.read(there, 4)

    yield child, says
    for file in (wait, there, ready):
        os.close(file)


def test_a_process_that_stood_still_finds_out(path: Path, stopped: tuple[int, Callable[[], bytes]]) -> None:
    mine = Lease(path)
    assert stopped[1]() == b"lost" and not mine.lost()
    mine.release()


def test_a_process_that_stood_still_and_that_nobody_waited_for_goes_on(
    path: Path, stopped: tuple[int, Callable[[], bytes]]
) -> None:
    time.sleep(0.5)
    assert stopped[1]() == b"mine"


def test_a_forked_child_neither_renews_nor_gives_back(path: Path) -> None:
    mine = Lease(path)

    def releases() -> int:
        mine.release()
        return int(not mine.lost())

    assert os.waitstatus_to_exitcode(os.waitpid(in_child(releases), 0)[1]) == 0
    assert leased(path) and not mine.lost()
    assert json.loads(path.with_name("lock.1").read_text().partition("\n")[0])["pid"] == os.getpid()
    mine.release()
