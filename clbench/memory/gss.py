"""Gradient-based sample selection, greedy (GSS): a batch whose gradient agrees with memory's is not stored.

g(S) is the mean of the gradients of each sample's own loss, with the labels as stored, and cos(a, c) = a c over
max(|a| |c|, 1e-8). After each step, with the stream's batch X:

    draw      min(n, stored // q) disjoint batches of q stored samples, and
              their gradients G (all where there are fewer than q)
    score     of a sample x: s = max over h in G of cos(g(x), h); 0.1 for
              those that come while memory is empty
    not full  as many of the batch as there is room for are stored, the first
              ones; the others are passed over
    full      nothing is stored where max over h in G of cos(g(X), h) >=
              threshold. Else as many distinct slots as the batch has samples
              are drawn, a slot with probability proportional to
              (s - min s) / (max s - min s + 0.01), and each sample in turn
              takes its slot with probability a_slot / (a_sample + a_slot),
              a = (s + 1) / 2

So a sample whose like is in memory already is likely to go, and one unlike all that was drawn is likely to stay.

Source: Aljundi, Lin, Goujaud, Bengio, "Gradient based sample selection for online continual learning", NeurIPS 2019,
arXiv 1903.08671, as released (rahafaljundi/Gradient-based-Sample-Selection; code read, beside RaptorMai's; the paper
was not). Its n is 10 and its q 10.

Matched: on a linear head the cosines are those of the closed form (D D^T) o (F F^T), of errors D and features F, within
1e-5 (tests/memory/test_gss.py::test_cosines_are_those_of_the_closed_form_of_a_linear_head). Slots and scores are those
of a reference in plain loops with the same draws, over 300 samples
(tests/memory/test_gss.py::test_slots_and_scores_are_the_slow_references_over_300_samples).

Differs: the probabilities of slots have 1e-6 added, since the release's are all 0 where scores tie, as they do after
the first batch; where the batch is larger than memory its first samples are those that may enter. Memory and strategy
are two things here: under `er` there is one step on the batch and what is replayed, where the release takes two, ten
times over. For several labels nothing changes, since each sample has one loss: our reading, for the one that PRS used
in its table is not known.

Gradients are of all that learns: with `freeze=backbone` of the head alone. A batch takes a backward pass of its own
images and of the q images of each draw, up to the first draw that it is like, since that settles it; one that is stored
takes one more of each of its images alone. None of them counts as a step. Up to n + batch gradients are held at once.

Never run: beside the released code; with a backbone of ImageNet's size that learns; on a GPU, where each decision waits
for the device; to a number of a paper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clbench.arrays import FloatArray, IntArray, ScoreArray
from clbench.memory import NOT_STORED, Cues, Memory, MemoryOptions
from clbench.options import option
from clbench.scenario.samples import Samples

FIRST = 0.1
"""Score of a sample that comes while memory is empty."""
LEAST = 1e-6
"""Added to each slot's weight, so that every slot can be drawn."""


@dataclass(frozen=True)
class GSSOptions(MemoryOptions):
    """Options of GSS."""

    draws: int = option(
        10, "n, memory batches whose gradients a new sample is compared with; Aljundi et al.: 10", at_least=1
    )
    draw_size: int = option(10, "q, images in each of them; Aljundi et al.: 10", at_least=1)
    threshold: float = option(
        0.0, "cosine from which on a batch is like memory and is not stored; Aljundi et al.: 0; above 1: never"
    )


class GSS(Memory):
    """Draws from its generator: a permutation of the slots a batch, then the slots and a number for each of them."""

    Options = GSSOptions
    options: GSSOptions
    needs = frozenset({"gradients"})

    def __init__(self, options: GSSOptions, columns: int, generator: np.random.Generator) -> None:
        super().__init__(options, columns, generator)
        self.scores = np.zeros(0, np.float64)
        """s: (m,), in [-1, 1], when each sample was stored."""

    def update(self, samples: Samples, cues: Cues | None = None) -> IntArray:
        assert cues is not None
        self.seen += len(samples)
        slots = np.full(len(samples), NOT_STORED, np.int64)
        room = min(max(self.size - len(self), 0), len(samples))
        if not len(samples):
            return slots
        if not len(self):
            slots[:room] = self._add(samples.rows(np.arange(room)), np.full(room, FIRST))
            return slots
        whole = None if room else cues.gradients(samples, mean=True)
        drawn = []
        for stored in self._draws():
            drawn.append(cues.gradients(stored, mean=True))
            if whole is not None and nearest(whole, drawn[-1])[0] >= self.options.threshold:
                return slots  # whatever the others are: the largest cosine is not below the threshold
        if room:
            first = samples.rows(np.arange(room))
            slots[:room] = self._add(first, nearest(cues.gradients(first), np.concatenate(drawn)))
        else:
            self._replace(samples, nearest(cues.gradients(samples), np.concatenate(drawn)), slots)
        return slots

    def _draws(self) -> Iterator[Samples]:
        """Disjoint batches of stored samples."""
        size = min(self.options.draw_size, len(self))
        order = self.generator.permutation(len(self))
        for number in range(min(self.options.draws, len(self) // size)):
            yield self.stored(order[number * size : (number + 1) * size])

    def _add(self, samples: Samples, scores: FloatArray) -> IntArray:
        self.scores = np.concatenate([self.scores, scores])
        return self.append(samples)

    def _replace(self, samples: Samples, scores: FloatArray, slots: IntArray) -> None:
        """Let each sample try for a slot; `slots` takes those that it got."""
        weights = (self.scores - self.scores.min()) / (np.ptp(self.scores) + 0.01) + LEAST
        tries = min(len(samples), len(self))
        drawn = self.generator.choice(len(self), size=tries, replace=False, p=weights / weights.sum())
        old, new = (self.scores[drawn] + 1) / 2, (scores[:tries] + 1) / 2
        takes = self.generator.random(tries) * (new + old) < old
        for row in np.flatnonzero(takes):
            slot = int(drawn[row])
            self.write(slot, int(samples.indices[row]), samples.labels[row], samples.known[row])
            self.scores[slot], slots[row] = scores[row], slot

    def state(self) -> dict[str, Any]:
        return super().state() | {"scores": self.scores.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.scores = state["scores"].copy()


def nearest(gradients: ScoreArray, drawn: ScoreArray) -> FloatArray:
    """The largest cosine of each gradient (n, P) with those of the drawn batches (k, P): (n,), in [-1, 1]."""
    products = (gradients @ drawn.T).astype(np.float64)
    lengths = np.outer(np.linalg.norm(gradients, axis=1), np.linalg.norm(drawn, axis=1))
    cosines = np.clip(products / np.maximum(lengths, 1e-8), -1.0, 1.0)
    largest: FloatArray = cosines.max(axis=1)
    return largest
