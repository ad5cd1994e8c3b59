"""A probe: of the memory and a whole batch those are kept whose labels are the most even; for tests alone.

The greedy deletion of OCDM (Liang and Li, arXiv 2209.11469) in plain loops, without its Kullback-Leibler target.
"""

import numpy as np

from clbench.arrays import IntArray
from clbench.memory import NOT_STORED, Cues, Memory
from clbench.scenario.samples import Samples


class BalancedBatch(Memory):
    """While there are too many, the sample goes without which the largest count is smallest."""

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        self.seen += len(samples)
        slots = self.append(samples)
        left = list(range(len(self)))
        while len(left) > self.size:
            counts = self.labels[left].sum(0, np.int64)
            worst = [int((counts - self.labels[slot]).max(initial=0)) for slot in left]
            del left[int(np.argmin(worst))]
        self.retain(np.array(left, np.int64))
        place = {slot: number for number, slot in enumerate(left)}
        return np.array([place.get(int(slot), NOT_STORED) for slot in slots], np.int64)
