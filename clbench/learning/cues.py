"""What a memory is answered that asks for features or gradients: rows on the CPU, from the model as it is then."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from clbench.arrays import ScoreArray
from clbench.memory import Cues, Memory
from clbench.scenario.samples import Samples

Rows = Callable[[Samples], Iterable[Tensor]]
"""Samples (B) -> parts of (B, …), in order, on the run's device."""


class ModelCues(Cues):
    """A strategy's answers to its memory.

    mean_gradient: as `gradients`, one row.

    Raises:
        TypeError: a cue is asked for that the memory's `needs` leaves out.
    """

    def __init__(self, memory: Memory, *, features: Rows, gradients: Rows, mean_gradient: Rows) -> None:
        self._memory = memory
        self._features, self._gradients, self._mean_gradient = features, gradients, mean_gradient

    def features(self, samples: Samples) -> ScoreArray:
        return self._answer("features", self._features, samples)

    def gradients(self, samples: Samples, *, mean: bool = False) -> ScoreArray:
        return self._answer("gradients", self._mean_gradient if mean else self._gradients, samples)

    def _answer(self, cue: str, rows: Rows, samples: Samples) -> ScoreArray:
        if cue not in self._memory.needs:
            raise TypeError(f"{type(self._memory).__name__} asks for {cue}, so its `needs` must name them")
        answer: ScoreArray = torch.cat(list(rows(samples))).float().cpu().numpy()
        return answer
