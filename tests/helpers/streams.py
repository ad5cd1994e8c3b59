"""Made label streams for the memories' tests."""

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray
from clbench.scenario.samples import Samples


def samples(indices: IntArray, labels: LabelArray, known: BoolArray | None = None) -> Samples:
    """Samples whose labels are all known unless it is said."""
    return Samples(indices, labels, np.ones(labels.shape, np.bool_) if known is None else known)


def long_tailed_tasks(items: int, classes: int = 12, tasks: int = 3, seed: int = 0) -> LabelArray:
    """Tasks one after another, each with labels of its own, 0 to 4 of them a sample, head labels often: (items, C)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((items, classes), np.uint8)
    for rows, columns in zip(
        np.array_split(np.arange(items), tasks), np.array_split(np.arange(classes), tasks), strict=True
    ):
        share = np.exp(-1.5 * np.arange(len(columns)))
        for row in rows:
            drawn = rng.choice(columns, size=rng.integers(0, 5), p=share / share.sum())
            labels[row, drawn] = 1
    return labels
