"""Processes that share a run, as threads of this one: what they exchange goes through a list, not through a network."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from clbench.learning.engine import Ranks

T = TypeVar("T")


class Thread(Ranks):
    """One of them. Only what asks the others is replaced; they are not watched."""

    def __init__(self, rank: int, size: int, meeting: Barrier, table: list[Any]) -> None:
        self.rank, self.size = rank, size
        self._agreed = None
        self._meeting, self._table = meeting, table

    def _ask(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        mine = arguments[0]
        self._table[self.rank] = mine.clone() if isinstance(mine, torch.Tensor) else list(mine)
        self._meeting.wait()
        told = list(self._table)
        self._meeting.wait()
        if collective is dist.broadcast_object_list:
            assert options == {"device": torch.device("cpu")}
            mine[:] = told[0]
        else:
            assert collective is dist.all_reduce
            stacked = torch.stack(told)
            mine.copy_(stacked.amax(0) if options.get("op") is dist.ReduceOp.MAX else stacked.sum(0))


def together(size: int, work: Callable[[Ranks], T]) -> list[T]:
    """What each of so many gives, in their order. Raises what the first of them raises."""
    meeting, table = Barrier(size, timeout=30), [None] * size

    def one(rank: int) -> T:
        try:
            return work(Thread(rank, size, meeting, table))
        except BaseException:
            meeting.abort()  # or the others would wait
            raise

    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(one, rank) for rank in range(size)]]
