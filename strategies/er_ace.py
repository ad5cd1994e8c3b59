"""ER-ACE: new images teach only the classes that they show; of all classes seen the memory is what teaches.

With one softmax, the new batch's loss leaves out the logits of classes that it does not have, so that it does not push
old ones down; the memory's loss has them all. Here every label has its own sigmoid, and the same asymmetry is one of
which columns are supervised: from the second task on, new images supervise the columns that some image of their batch
has (`stream=batch`) or the present task's (`stream=task`), replayed ones the columns of all classes introduced so far.

    loss = l over the new images' columns + l over the replayed images' columns

Source: Caccia et al., "New Insights on Reducing Abrupt Representation Change in Online Continual Learning", ICLR 2022,
arXiv 2104.05025 (by its formula; another implementation read, github.com/aimagelab/mammoth). The multi-label reading is
ours.

Matched: the losses are the definition in plain PyTorch, in the first task and later, within 1e-6 relative
(tests/strategies/test_er_ace.py::test_losses_are_the_definition). A column that no new image may supervise has exactly
the gradient of the replayed images alone
(tests/strategies/test_er_ace.py::test_columns_left_out_learn_from_the_memory_alone). But for that it is `er` with two
means instead of one: where both leave no column out and are of one size, their sum is twice the loss of `er`, within
1e-6 relative (tests/strategies/test_er_ace.py::test_but_for_the_columns_it_is_er).

Differs: sigmoid outputs, so nothing competes but by what is supervised; an image is no negative of a class that its
batch does not have. Where a scenario hides labels (`missing=masked`, as in class-incremental ones), new images
supervise their task's columns alone anyway, so `stream=task` is `er` with two means; it is another method where all
columns are supervised from the start, as on coco-seq. New and replayed images go through the model in one pass, as in
`er`. The implementation read replays from the second task on, and lets classes that have not come yet through; here
replay begins with the second batch, and they are left out. No cosine classifier.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`stream` has been tuned on digits-seq alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Replay
from clbench.learning.strategy import Strategy
from clbench.options import option


@dataclass(frozen=True)
class ERACEOptions:
    """Options of the asymmetry."""

    stream: str = option(
        "batch",
        "columns that new images supervise from the second task on: batch, of classes that one of the batch has; task, "
        "of the present task's classes",
        choices=("batch", "task"),
        search=("batch", "task"),
    )


class ERACE(Strategy):
    """One step on new images by their own classes, and on replayed ones by all that have been seen."""

    Options = ERACEOptions
    memory_policy = "reservoir"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "er-ace replays from a memory; without one it is --strategy finetune"

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        logits = self.model(batch.join(replay).inputs)
        new, old = logits[: len(batch)], logits[len(batch) :]
        known = batch.known & self._taught(batch) if self.stage.old else batch.known
        losses = {"loss": self.criterion(new, batch.labels, known)}
        if replay is not None:
            seen = self._only(self.stage.seen)
            losses["replayed"] = self.criterion(old, replay.labels, replay.known & seen)
        return losses

    def _taught(self, batch: Batch) -> Tensor:
        """Columns that the batch supervises: (C,) bool."""
        if self.options.stream == "task":
            return self._only(self.stage.task.classes)
        return ((batch.labels > 0) & batch.known).any(0)

    def _only(self, columns: tuple[int, ...]) -> Tensor:
        """Whether a column is one of these: (C,) bool, on the device."""
        chosen = [column in columns for column in range(self.model.head.num_classes)]
        return self.loader.on_device(torch.tensor(chosen))
