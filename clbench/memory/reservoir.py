"""Reservoir sampling: every sample of the stream has the same chance to be in memory, whatever its labels.

Source: Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11(1), 1985 (algorithm R,
as textbooks give it). `off_by_one` is the rule of PRS's reservoir baseline (Kim, Jeong, Kim, ECCV 2020, arXiv
2009.03632; released code read).

Matched: every slot is that of algorithm R in plain loops, with the same draws, under both rules, over 10,000 samples
(tests/memory/test_reservoir.py::test_every_slot_is_the_references_over_10_000_samples). Every sample has the same
chance: chi-square of 2000 seeds below its 99.9 % point
(tests/memory/test_reservoir.py::test_every_sample_has_the_same_chance).

Differs: nothing from the textbook. PRS's release draws the slot among one fewer, which always takes the first sample
past the capacity; that is an option here, off by default.

Never run: beside PRS's released code itself (the loops are ours, from its description); on the real streams of coco-seq
and nuswide-seq.
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
