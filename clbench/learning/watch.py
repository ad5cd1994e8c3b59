"""Whether the other processes of a run still answer: told by a board that all of them write to, whatever else they do.

A process that is killed lets go of its connections, which ends what the others wait for; one that hangs, or whose
machine is gone, does not, and an accelerator may wait for it without end. So each counts its beats on the board, the
first looks after all, and the others after the first.
"""

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

INTERVAL = 2.0
"""Seconds between two beats."""
LIMIT = 20.0
"""A process without a beat for so many seconds is lost."""
GRACE = 5.0
"""Seconds from there until a process that still waits for the others is ended."""
LOST, SAID = "clbench/lost", "clbench/said"
"""Keys of the board: who is lost, and how many have claimed to say so."""


class Board(Protocol):
    """What all processes can write to; PyTorch's stores are such."""

    def add(self, key: str, amount: int) -> int:
        """Add to a counter, which begins at 0; returns what it is then."""

    def check(self, keys: list[str]) -> bool:
        """Whether all the keys have been set."""

    def set(self, key: str, value: str) -> None:
        """Set a key."""

    def get(self, key: str) -> bytes:
        """The value of a key that has been set."""


class Watch(threading.Thread):
    """Beats as long as the process lives, and looks after the others while `watching`.

    give_up: called, in this thread, with a clause that says who is lost, where `watching` has not ended so long after.
    """

    def __init__(self, board: Board, rank: int, size: int) -> None:
        super().__init__(name="clbench-watch", daemon=True)
        self._board, self._rank = board, rank
        self._others = range(1, size) if rank == 0 else range(1)
        self._beats: dict[int, tuple[int, float]] = {}
        self._give_up: Callable[[str], None] | None = None
        self._over = threading.Event()
        atexit.register(self._end)  # or the interpreter ends while this thread is in the board's code, which aborts

    def run(self) -> None:
        while not self._over.wait(INTERVAL):
            try:
                self._board.add(_beat(self._rank), 1)
                lost = self._lost()
            except RuntimeError:  # of the connection
                lost = "where they meet does not answer any more"
            if lost and self._give_up is not None:
                self.tell(lost)
                self._over.wait(GRACE)
                self._end_who_waits(lost)

    @contextmanager
    def watching(self, give_up: Callable[[str], None]) -> Iterator[None]:
        """Look after the others meanwhile."""
        self._give_up = give_up
        try:
            yield
        finally:
            self._give_up = None

    def tell(self, what: str) -> None:
        """Put on the board, for the others, who is lost and why; the first who does so is heard."""
        with suppress(RuntimeError):
            if self._board.add(f"{LOST}/count", 1) == 1:
                self._board.set(LOST, what)

    def told(self) -> str | None:
        """What stands there."""
        with suppress(RuntimeError):
            if self._board.check([LOST]):
                return self._board.get(LOST).decode()
        return None

    def claim(self) -> bool:
        """Whether this process is the one to say it: the first that asks, or each where nobody can be asked."""
        try:
            return self._board.add(SAID, 1) == 1
        except RuntimeError:
            return True

    def _end_who_waits(self, lost: str) -> None:
        give_up = self._give_up
        if give_up is not None:
            give_up(lost)

    def _end(self) -> None:
        self._over.set()
        self.join()

    def _lost(self) -> str | None:
        now = time.monotonic()
        for other in self._others:
            count = self._board.add(_beat(other), 0)
            before, since = self._beats.get(other, (-1, now))
            self._beats[other] = (count, now if count != before else since)
            if now - self._beats[other][1] > LIMIT:
                return f"process {other} has not answered for {LIMIT:.0f} s"
        return self.told()


def _beat(rank: int) -> str:
    return f"clbench/beat/{rank}"
