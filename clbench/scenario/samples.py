"""Which samples a strategy is shown, and what stored ones say when they are replayed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clbench.arrays import BoolArray, IntArray, LabelArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Which samples, and their labels as the protocol shows them; on the CPU, without pixels.

    indices: (B,) int64 dataset indices; labels: (B, C) uint8 in {0, 1}; known: (B, C) bool. replayed: (B,) bool, True
    for those that came from a memory; where it is left out none did.
    """

    indices: IntArray
    labels: LabelArray
    known: BoolArray
    replayed: BoolArray = None  # type: ignore[assignment]  # which `__post_init__` makes up for

    def __post_init__(self) -> None:
        if self.replayed is None:
            object.__setattr__(self, "replayed", np.zeros(len(self.indices), np.bool_))

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, rows: IntArray) -> "Samples":
        """Some of the samples, by their places."""
        return Samples(self.indices[rows], self.labels[rows], self.known[rows], self.replayed[rows])

    def cut(self, columns: int) -> "Samples":
        """The same samples with their first `columns` labels."""
        return replace(self, labels=self.labels[:, :columns], known=self.known[:, :columns])


@dataclass(frozen=True, eq=False)
class ReplayLabels:
    """What stored samples say when they are replayed.

    truth: (N, C) uint8, by dataset index; once `revealed`, only what may be shown. groups: columns of each task,
    ascending and one after another. missing, policy: one of `MISSING` and of `REPLAY_LABELS`.
    """

    truth: LabelArray
    groups: tuple[tuple[int, ...], ...]
    missing: str
    policy: str

    def revealed(self, trained: Sequence[IntArray]) -> "ReplayLabels":
        """As it is in the last of some first tasks: `truth` has the columns introduced by then, and only what may be
        shown of the images trained on by then; the rest is 0.

        trained: dataset indices of each task's training images.
        """
        seen = self.groups[len(trained) - 1][-1] + 1
        shown = np.zeros((len(self.truth), seen), np.uint8)
        for columns, rows in zip(self.groups, trained, strict=False) if self.policy != "frozen" else ():
            first = columns[0] if self.policy == "forward" else 0
            shown[rows, first:] = self.truth[rows, first:seen]
        return replace(self, truth=shown)

    def __call__(self, stored: Samples) -> Samples:
        """The samples as they are replayed now: with the columns (n, c) that they are stored with."""
        labels, known = stored.labels.copy(), stored.known.copy()
        if self.policy != "frozen":
            ends = np.array([columns[-1] for columns in self.groups])
            # The last column that was known when a sample was stored is the last one of its task.
            home = np.searchsorted(ends, labels.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1))
            starts = np.array([columns[0] for columns in self.groups])
            first = starts[home] if self.policy == "forward" else np.zeros(len(home), np.int64)
            opened = np.arange(labels.shape[1]) >= first[:, None]
            labels[opened] = self.truth[stored.indices, : labels.shape[1]][opened]
            known |= opened
        if self.missing == "negative":
            known[:] = True
        return replace(stored, labels=labels, known=known)
