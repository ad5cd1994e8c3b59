"""A probe: at a task's end the samples nearest to the mean feature are kept, as many as there is room for each task.

In the manner of herding (Rebuffi et al., iCaRL, CVPR 2017), simplified; for tests alone.
"""

from typing import Any

import numpy as np

from clbench.arrays import IntArray
from clbench.memory import NOT_STORED, Cues, Memory
from clbench.scenario.samples import Samples


class NearestMean(Memory):
    """Nothing is stored within a task; each task settled so far has an equal share."""

    needs = frozenset({"features"})

    def __init__(self, options: Any, columns: int, generator: np.random.Generator) -> None:
        super().__init__(options, columns, generator)
        self.settled: list[int] = []
        """How many samples each task has, in the order of the slots."""

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        self.seen += len(samples)
        return np.full(len(samples), NOT_STORED, np.int64)

    def settle(self, samples: Samples, cues: Cues | None = None) -> None:
        assert cues is not None
        features = cues.features(samples)
        distances = np.linalg.norm(features - features.mean(0), axis=1)
        share = self.size // (len(self.settled) + 1)
        starts = np.cumsum([0, *self.settled])[:-1]
        kept = [start + np.arange(min(share, count)) for start, count in zip(starts, self.settled, strict=True)]
        self.retain(np.concatenate([*kept, np.zeros(0)]).astype(np.int64))
        nearest = np.argsort(distances, kind="stable")[:share]
        self.append(samples.rows(nearest))
        self.settled = [*(min(share, count) for count in self.settled), len(nearest)]

    def state(self) -> dict[str, Any]:
        return super().state() | {"settled": list(self.settled)}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.settled = list(state["settled"])
