"""Reservoir sampling: every sample of the stream has the same chance to be in memory, whatever its labels.

Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11(1), 1985 (algorithm R).
"""

from dataclasses import dataclass

from clbench.arrays import LabelArray
from clbench.memory import NOT_STORED, MemoryOptions, StreamMemory
from clbench.options import option


@dataclass(frozen=True)
class ReservoirOptions(MemoryOptions):
    """Options of reservoir sampling."""

    off_by_one: bool = option(
        False, "draw the slot as the PRS release does, among one fewer: the samples seen before this one"
    )


class Reservoir(StreamMemory):
    """The n-th sample of the stream, n > size, goes to slot j drawn from 0 to n - 1, if j < size."""

    Options = ReservoirOptions
    options: ReservoirOptions

    def place(self, labels: LabelArray) -> int:
        if len(self) < self.size:
            return len(self)
        slot = int(self.generator.integers(self.seen if self.options.off_by_one else self.seen + 1))
        return slot if slot < self.size else NOT_STORED
