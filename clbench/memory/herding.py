"""Herding: at a task's end, of each class those images are kept whose mean feature is nearest the mean of all of them.

With f_i the features of the task's images that have a class, each of length 1, and mu their mean, the k-th chosen is

    argmin over those not chosen yet of
           | mu - (f_1 + … + f_(k-1) + f_i) / k |,  of equals the first

Each class has `size` over the number of classes introduced so far, rounded up: N of them where the size is `N/class`.
Its list is ordered, so that with fewer places for it, as classes come, its first images stay. Memory is the lists rank
by rank, an image that several classes chose once, at most `size` in all; so it mostly holds fewer. A class has its list
from the first task whose images show it. Within a task nothing is stored, so only older tasks are replayed.

Source: Rebuffi, Kolesnikov, Sperl, Lampert, "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017, as
Mammoth and Avalanche have it (their code read; the paper was not). The reading for several labels, lists for the images
that have each class and duplicates kept once, is that of KRT's released code (read).

Matched: the order is that of plain loops over every candidate's mean, for 60 features
(tests/memory/test_herding.py::test_the_order_is_that_of_plain_loops). Lists, shares and what is left of them by hand
(tests/memory/test_herding.py::test_lists_shrink_to_their_first_images_as_classes_come,
tests/memory/test_herding.py::test_an_image_of_several_classes_is_kept_once).

Differs: KRT's own choice is the older recursion of iCaRL's code, which may come back to an image and stop short; it is
not here. Where rounding up gives more images than `size`, the last rank is cut, so memory never exceeds it.

Never run: beside KRT's, Mammoth's or Avalanche's code; to a number of a paper. iCaRL's loss and its classifier of
nearest means are no part of a memory.
"""

from typing import Any

import numpy as np

from clbench.arrays import IntArray, ScoreArray
from clbench.memory import NOT_STORED, Cues, Memory
from clbench.scenario.samples import Samples

SAME = 1e-9
"""Distances that differ by less are equal, so that no choice hangs on the order in which a sum was taken."""


class Herding(Memory):
    """Draws nothing from its generator."""

    needs = frozenset({"features"})

    def __init__(self, options: Any, columns: int, generator: np.random.Generator) -> None:
        super().__init__(options, columns, generator)
        self.lists: dict[int, list[int]] = {}
        """Class -> dataset indices of its images, the first chosen first."""

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        self.seen += len(samples)
        return np.full(len(samples), NOT_STORED, np.int64)

    def settle(self, samples: Samples, cues: Cues | None = None) -> None:
        fresh = [int(column) for column in np.flatnonzero(samples.labels.any(axis=0)) if column not in self.lists]
        share = -(-self.size // max(self.introduced, len(self.lists) + len(fresh), 1))
        if fresh:
            assert cues is not None
            features = _normalised(cues.features(samples))
            for column in fresh:
                members = np.flatnonzero(samples.labels[:, column])
                chosen = members[herd(features[members], share)]
                self.lists[column] = samples.indices[chosen].tolist()
        self._keep_shares(share, samples)

    def _keep_shares(self, share: int, samples: Samples) -> None:
        """Cut the lists, and make memory what stands in them: what is stored stays as it was stored."""
        lists = {column: self.lists[column][:share] for column in sorted(self.lists)}
        ranked = [listed[rank] for rank in range(share) for listed in lists.values() if rank < len(listed)]
        kept = list(dict.fromkeys(ranked))[: self.size]
        self.lists = {column: [index for index in listed if index in set(kept)] for column, listed in lists.items()}
        self.retain(np.flatnonzero(np.isin(self.indices, kept)))
        place = {int(index): row for row, index in enumerate(samples.indices)}
        stored = set(self.indices.tolist())
        self.append(samples.rows(np.array([place[index] for index in kept if index not in stored], np.int64)))

    def state(self) -> dict[str, Any]:
        return super().state() | {"lists": [[column, list(listed)] for column, listed in self.lists.items()]}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.lists = {int(column): list(listed) for column, listed in state["lists"]}


def herd(features: ScoreArray, count: int) -> IntArray:
    """Rows of features (n, D) in the order in which they are chosen, at most `count`: (min(n, count),) int64.

    The squared distance is that of r = k mu - (f_1 + … + f_(k-1)) from f_i, over k^2; what does not depend on i is left
    out of it.
    """
    rows = features.astype(np.float64)
    mean, squares = rows.mean(axis=0), (rows**2).sum(axis=1)
    sought, chosen = mean.copy(), list[int]()
    for _ in range(min(count, len(rows))):
        distances = squares - 2 * rows @ sought
        distances[chosen] = np.inf
        chosen.append(int(np.flatnonzero(distances <= distances.min() + SAME)[0]))
        sought += mean - rows[chosen[-1]]
    return np.array(chosen, np.int64)


def _normalised(features: ScoreArray) -> ScoreArray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    normalised: ScoreArray = features / np.maximum(lengths, 1e-12)
    return normalised
