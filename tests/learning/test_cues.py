from collections.abc import Iterator

import numpy as np
import pytest
import torch
from streams import samples
from torch import Tensor

from clbench.arrays import IntArray
from clbench.learning.cues import ModelCues
from clbench.memory import Cues, Memory, MemoryOptions
from clbench.randomness import generator
from clbench.scenario.samples import Samples


class Asking(Memory):
    needs = frozenset({"features"})

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        return np.zeros(0, np.int64)


def rows(samples: Samples) -> Iterator[Tensor]:
    for index in samples.indices.tolist():
        yield torch.full((1, 2), float(index), dtype=torch.float64)


def mean(samples: Samples) -> Iterator[Tensor]:
    yield torch.cat(list(rows(samples))).mean(0, keepdim=True)


def test_answers_are_rows_on_the_cpu_in_the_samples_order() -> None:
    cues = ModelCues(Asking(MemoryOptions(), 2, generator(0)), features=rows, gradients=rows, mean_gradient=mean)
    answer = cues.features(samples(np.array([7, 3]), np.zeros((2, 2), np.uint8)))
    assert answer.dtype == np.float32 and answer.tolist() == [[7, 7], [3, 3]]


def test_a_mean_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asking, "needs", frozenset({"gradients"}))
    cues = ModelCues(Asking(MemoryOptions(), 2, generator(0)), features=rows, gradients=rows, mean_gradient=mean)
    two = samples(np.array([7, 3]), np.zeros((2, 2), np.uint8))
    assert cues.gradients(two, mean=True).tolist() == [[5, 5]] and cues.gradients(two).tolist() == [[7, 7], [3, 3]]


def test_a_cue_that_is_not_named_is_refused() -> None:
    cues = ModelCues(Asking(MemoryOptions(), 2, generator(0)), features=rows, gradients=rows, mean_gradient=mean)
    with pytest.raises(TypeError, match="Asking asks for gradients, so its `needs` must name them"):
        cues.gradients(samples(np.array([7]), np.zeros((1, 2), np.uint8)))
