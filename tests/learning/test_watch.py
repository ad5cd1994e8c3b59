"""The watch over other processes, on a board in memory; the real one is in tests/reliability/test_ranks.py."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from clbench.learning import watch
from clbench.learning.watch import Watch


class Board:
    """As PyTorch's stores; `gone` as one whose machine is."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.values: dict[str, str] = {}
        self.gone = False

    def _ask(self) -> None:
        if self.gone:
            raise RuntimeError("Connection reset by peer")

    def add(self, key: str, amount: int) -> int:
        self._ask()
        self.counts[key] += amount
        return self.counts[key]

    def check(self, keys: list[str]) -> bool:
        self._ask()
        return set(keys) <= set(self.values)

    def set(self, key: str, value: str) -> None:
        self._ask()
        self.values[key] = value

    def get(self, key: str) -> bytes:
        self._ask()
        return self.values[key].encode()


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(watch, "INTERVAL", 0.01)
    monkeypatch.setattr(watch, "GRACE", 0.01)
    return Board()


@pytest.fixture
def watches(board: Board) -> Iterator[list[Watch]]:
    found: list[Watch] = []
    yield found
    for each in found:
        each._end()


def started(watches: list[Watch], board: Board, rank: int, size: int) -> Watch:
    found = Watch(board, rank, size)
    found.start()
    watches.append(found)
    return found


def lost(found: Watch) -> str:
    """What it gives up with."""
    heard, reasons = threading.Event(), list[str]()

    def give_up(reason: str) -> None:
        reasons.append(reason)
        heard.set()

    with found.watching(give_up):
        assert heard.wait(60)
    return reasons[0]


def test_one_that_beats_no_more_is_lost(board: Board, watches: list[Watch], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LIMIT", 0.2)
    first = started(watches, board, 0, 3)
    other = started(watches, board, 1, 3)
    assert lost(first) == "process 2 has not answered for 0 s"
    assert lost(other) == "process 2 has not answered for 0 s"  # which the first one has put on the board


def test_one_that_beats_is_not(board: Board, watches: list[Watch]) -> None:
    pair = [started(watches, board, rank, 2) for rank in range(2)]
    with pair[0].watching(pytest.fail), pair[1].watching(pytest.fail):
        while min(board.counts[f"clbench/beat/{rank}"] for rank in range(2)) < 5:
            threading.Event().wait(0.01)
    assert [each.told() for each in pair] == [None, None]


def test_what_is_told_is_heard_by_the_others_and_the_first_counts(board: Board, watches: list[Watch]) -> None:
    pair = [Watch(board, rank, 2) for rank in range(2)]
    pair[1].tell("process 1 has ended: no image")
    pair[0].tell("process 0 has ended: another reason")
    assert pair[0].told() == pair[1].told() == "process 1 has ended: no image"
    assert lost(started(watches, board, 0, 2)) == "process 1 has ended: no image"


def test_one_of_them_says_it(board: Board) -> None:
    pair = [Watch(board, rank, 2) for rank in range(2)]
    assert [each.claim() for each in pair] == [True, False]


def test_a_board_that_is_gone_is_a_loss_too(board: Board, watches: list[Watch]) -> None:
    found = started(watches, board, 1, 2)
    board.gone = True
    assert lost(found) == "where they meet does not answer any more"
    assert found.told() is None and found.claim()
