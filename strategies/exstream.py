"""ExStream: the past as prototypes, means of features that were merged; one step on new images and on prototypes.

The backbone is frozen, and an image is its map averaged over positions: f. Slot k holds a prototype p_k of c_k images
and their labels y_k. A new image goes to a free slot, with a count of 1. Where there is none, the two closest
prototypes of the class that most slots have make room, i < j:

    p_j := (c_i p_i + c_j p_j) / (c_i + c_j), y_j alike, c_j := c_i + c_j

and the new image goes to slot i.

Source: Hayes, Cahill, Kanan, "Memory Efficient Experience Replay for Streaming Learning", ICRA 2019, arXiv 1809.05922
(released code read, github.com/tyler-hayes/ExStream: its single buffer). The multi-label reading is ours.

Matched: slots, labels and counts are those of a plain loop in NumPy's float64 over 150 samples, every choice the same,
values within 1e-5 (tests/strategies/test_exstream.py::test_prototypes_are_those_of_a_plain_loop). A merge by hand
(tests/strategies/test_exstream.py::test_a_merge_worked_by_hand). Where nothing has been merged yet it is `er` with a
frozen backbone and the same draws, its weights within 1e-5
(tests/strategies/test_exstream.py::test_until_something_is_merged_it_is_er).

Differs: multi-label targets, in a reading of our own. The class that most slots have is the one whose labels sum to
most over slots; its pairs are those of slots that have it at 0.5 or more, or all pairs where fewer than two have.
Merged labels are means, between 0 and 1 (`loss=asl` rounds them), and known where both were. They stay as stored,
whatever `replay_labels` says, since a prototype is no image; with `missing=negative` what was hidden counts as absent,
as in every replay. The original trains on its whole buffer after each image; here a step has one draw from it, as many
as are new, under one mean with the new images, as in `er`. It has a buffer for each class as well, which images with
several labels do not fit. The linear head alone scores averaged features as it scores maps.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside the released code; how PRS
(arXiv 2009.03632) mapped it to several labels for its own table is not known to us. `prototypes` has not been tuned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from clbench.errors import UsageError
from clbench.learning.batch import Batch, Replay
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup, Strategy
from clbench.options import option
from clbench.scenario.samples import Samples

KEPT = ("features", "labels", "known", "counts")
"""What stands in each slot."""


@dataclass(frozen=True)
class ExStreamOptions:
    """Options of the buffer."""

    prototypes: int = option(
        2000, "prototypes kept, of 4 bytes a channel each; 2,000 as PRS's memory has images on COCOseq", at_least=2
    )


class Prototypes:
    """Slots on a device, filled one by one; nothing here waits for it.

    features: (m, D) float32. labels: (m, C) float32 in [0, 1]. known: (m, C) bool. counts: (m,) float32, images merged.
    distances: (m, m) float32, squared, of filled slots; infinite from a slot to itself.
    """

    def __init__(self, size: int, width: int, columns: int, device: torch.device) -> None:
        self.size, self.filled = size, 0
        self.features = torch.zeros(size, width, device=device)
        self.labels = torch.zeros(size, columns, device=device)
        self.known = torch.zeros(size, columns, dtype=torch.bool, device=device)
        self.counts = torch.zeros(size, device=device)
        self.distances = torch.full((size, size), inf, device=device)

    def add(self, feature: Tensor, labels: Tensor, known: Tensor) -> None:
        """One more image: (1, D), (1, C), (1, C)."""
        self._write(self._room(), feature, labels, known, self.counts.new_ones(1))

    def grow(self, columns: int) -> None:
        """To so many columns, of which nothing that is stored says anything."""
        added = columns - self.labels.shape[1]
        self.labels, self.known = pad(self.labels, (0, added)), pad(self.known, (0, added))

    def closest(self) -> tuple[Tensor, Tensor]:
        """The slots of the next merge, the smaller one first: (1,) int64 each; all slots must be filled."""
        most = self.labels.sum(0).argmax().view(1)
        members = self.labels.index_select(1, most)[:, 0] >= 0.5
        apart = torch.where(members & members[:, None], self.distances, inf)
        apart = torch.where(apart.isinf().all(), self.distances, apart)
        place = apart.argmin().view(1)  # the first of both places of a pair
        return place // self.size, place % self.size

    def _room(self) -> Tensor:
        """A slot that may be written: (1,) int64."""
        if self.filled < self.size:
            self.filled += 1
            return torch.full((1,), self.filled - 1, device=self.counts.device)
        one, other = self.closest()
        counts = self.counts[one], self.counts[other]
        total = counts[0] + counts[1]
        feature, labels = (
            (counts[0] * each[one] + counts[1] * each[other]) / total for each in (self.features, self.labels)
        )
        self._write(other, feature, labels, self.known[one] & self.known[other], total)
        return one

    def _write(self, slot: Tensor, feature: Tensor, labels: Tensor, known: Tensor, count: Tensor) -> None:
        for kept, value in zip(KEPT, (feature, labels, known, count), strict=True):
            getattr(self, kept).index_copy_(0, slot, value)
        apart = (self.features - feature).square().sum(1).index_fill(0, slot, inf)
        self.distances.index_copy_(0, slot, apart[None])
        self.distances.index_copy_(1, slot, apart[:, None])

    def bytes(self) -> int:
        """Of the filled slots; the distances follow from them."""
        return sum(int(getattr(self, kept)[: self.filled].nbytes) for kept in KEPT)

    def state(self) -> dict[str, Any]:
        """The slots; the distances too, so that their last bits are the same afterwards."""
        return {"filled": self.filled} | {name: getattr(self, name).clone() for name in (*KEPT, "distances")}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.filled = int(state["filled"])
        for name in (*KEPT, "distances"):
            setattr(self, name, state[name].to(self.counts.device, copy=True))


class ExStream(Strategy):
    """Experience replay from prototypes of frozen features."""

    Options = ExStreamOptions
    defaults = {"model": {"freeze": "backbone"}}
    scenario_defaults = {
        "debug": {"strategy": {"prototypes": 5}},
        "debug-incremental": {"strategy": {"prototypes": 5}},
        "digits-seq": {"strategy": {"prototypes": 400}},
        "digits-b0-c4": {"strategy": {"prototypes": 400}},
    }

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if not self.model.frozen:
            raise UsageError(
                "Expected freeze=backbone with exstream, whose prototypes are features of a backbone that stays as it "
                "is, but got freeze=none; leave it at its default, or choose --strategy er."
            )
        columns = self.model.head.num_classes
        self.prototypes = Prototypes(self.options.prototypes, self.model.backbone.channels, columns, self.device)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        if memory:
            return "exstream replays prototypes of its own; leave --memory out, or choose --strategy er"
        if head != "linear":
            return f"exstream has averaged features, for the linear head; with --head {head} choose --strategy er"
        return None

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        return super().losses(replace(batch, inputs=self._averaged(batch)), replay)

    def recall(self, new: int) -> Replay | None:
        """Distinct prototypes, drawn uniformly, as many as there are new images; None where there are none."""
        if not self.prototypes.filled:
            return None
        slots = self._replay.choice(self.prototypes.filled, size=min(new, self.prototypes.filled), replace=False)
        rows = self.loader.on_device(torch.from_numpy(slots))
        features, labels, known = (getattr(self.prototypes, name)[rows] for name in KEPT[:3])
        if self.stage.replay is not None and self.stage.replay.missing == "negative":
            known = torch.ones_like(known)
        inputs, samples = self.engine.share(features[:, :, None, None]), _nameless(len(slots), labels.shape[1])
        return Replay(inputs, labels, known, samples, slots, parts=self.engine.parts(len(slots)))

    def remember(self, batch: Batch, **kept: Tensor) -> None:
        features = self.gathered(batch, self._averaged(batch))[:, :, 0, 0]
        for row in range(len(batch)):
            one = slice(row, row + 1)
            self.prototypes.add(features[one], batch.labels[one], batch.known[one])

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        self.prototypes.grow(self.model.head.num_classes)

    def memory_bytes(self) -> int:
        return super().memory_bytes() + self.prototypes.bytes()

    def state(self) -> dict[str, Any]:
        return super().state() | {"prototypes": self.prototypes.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.prototypes.load_state(state["prototypes"])

    def _averaged(self, batch: Batch) -> Tensor:
        """The batch's maps averaged over positions: (B, D, 1, 1) float32."""
        return self.model.map_of(batch.inputs).mean((2, 3), keepdim=True)


def _nameless(rows: int, columns: int) -> Samples:
    """So many replayed samples that are no image of the dataset; what they say stands on the device alone."""
    blank = np.zeros((rows, columns))
    return Samples(np.full(rows, -1), blank.astype(np.uint8), blank.astype(np.bool_), np.ones(rows, np.bool_))
