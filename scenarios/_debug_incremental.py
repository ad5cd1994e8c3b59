"""Ninety random images of 8 x 8 px with up to four of 6 labels, in 3 growing tasks of 2: for contract tests, hidden."""

from dataclasses import dataclass

import numpy as np

from clbench.data.collection import Collection, LabelTable
from clbench.randomness import generator
from clbench.scenario.incremental import Incremental, IncrementalOptions
from clbench.scenario.protocols import blocks, ordered

CLASSES = ("a", "b", "c", "d", "e", "f")
TRAIN = 60


@dataclass(frozen=True)
class Options(IncrementalOptions):
    """As in every class-incremental scenario."""


class DebugIncremental(Incremental):
    """Noise that nothing can be learned from, under every axis."""

    Options = Options
    defaults = {
        "train": {"batch_size": 5, "lr": 1e-3},
        "model": {"backbone": "small"},
        "head.dlfl": {"heads": 2, "width": 8},
        "head.mldecoder": {"heads": 2, "width": 8, "feedforward": 16},
        "head.q2l": {"heads": 2, "width": 8, "feedforward": 16},
        "memory": {"size": 12},
    }

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        names = ordered(CLASSES, self.order)
        return tuple(tuple(names[c] for c in columns) for columns in blocks(len(names), 0, 2))

    def collection(self) -> Collection:
        from clbench.data.images import ArrayImages  # torch: late, so that listing stays quick

        rng = generator(0, "debug-incremental")
        images = rng.integers(256, size=(90, 3, 8, 8), dtype=np.uint8)
        labels = np.zeros((90, len(CLASSES)), np.uint8)
        for row in range(90):  # every class alone in turn, then others beside it
            labels[row, [row % len(CLASSES), *rng.integers(len(CLASSES), size=row // len(CLASSES) % 4)]] = 1
        table = LabelTable(tuple(range(90)), ("",) * 90, CLASSES, labels)
        rows = np.arange(90)
        return Collection(table, rows[:TRAIN], rows[TRAIN:], ArrayImages(images))
