"""Which samples a strategy is shown, and what stored ones say when they are replayed."""

from dataclasses import dataclass

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Which samples, and their labels as the protocol shows them; on the CPU, without pixels.

    indices: (B,) int64 dataset indices; labels: (B, C) uint8 in {0, 1}; known: (B, C) bool.
    """

    indices: IntArray
    labels: LabelArray
    known: BoolArray


@dataclass(frozen=True, eq=False)
class ReplayLabels:
    """What stored samples say when they are replayed.

    truth: (N, C) uint8, by dataset index. groups: columns of each task, ascending and one after another. missing,
    policy: one of `MISSING` and of `REPLAY_LABELS`.
    """

    truth: LabelArray
    groups: tuple[tuple[int, ...], ...]
    missing: str
    policy: str

    def __call__(self, stored: Samples, seen: int) -> Samples:
        """The samples as they are replayed once the first `seen` columns have been introduced."""
        labels, known = stored.labels.copy(), stored.known.copy()
        if self.policy != "frozen":
            ends = np.array([columns[-1] for columns in self.groups])
            # The last column that was known when a sample was stored is the last one of its task.
            home = np.searchsorted(ends, labels.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1))
            starts = np.array([columns[0] for columns in self.groups])
            first = starts[home] if self.policy == "forward" else np.zeros(len(home), np.int64)
            columns = np.arange(labels.shape[1])
            opened = (columns >= first[:, None]) & (columns < seen)
            labels[opened] = self.truth[stored.indices][opened]
            known |= opened
        if self.missing == "negative":
            known[:, :seen] = True
        return Samples(stored.indices, labels, known)
