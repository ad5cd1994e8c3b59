"""Learning without Forgetting: old outputs are held to those of the model as it was before the present task.

The distillation is reduced as the run's loss is, over the old columns of the new images. With `reduction=sum` it is a
sum over old labels, then a mean over new images, so `distill` is the weight of one old label of an image beside one new
label (the loss, with a memory, is a mean over replayed images too). With `reduction=mean` it is a mean over old labels
and new images, so `distill` is the weight of all old labels together beside all others, however many there are of each.
It is a binary cross-entropy with `loss=asl` too.

Source: Li and Hoiem, "Learning without Forgetting", ECCV 2016, arXiv 1606.09282 (abstract read; the loss by its
formula, as later work gives it).

Matched: loss and distillation are the definition written out with PyTorch's cross-entropy, under mean and sum, within
1e-6 relative (tests/strategies/test_strategies.py::test_lwf_losses_are_the_definition). The first task is `finetune`,
its weights bit for bit (tests/strategies/test_strategies.py::test_the_first_task_is_finetuning). Replayed images have
no part in the distillation
(tests/strategies/test_strategies.py::test_replayed_images_have_no_part_in_the_distillation).

Differs: sigmoid outputs, so the distillation loss is a binary cross-entropy per old label against the old model's
probability, without temperature, and all weights train from the first step (no warm-up of a new head). New labels
supervise the columns that are not old, and the old model the old ones. With a memory, replayed samples are supervised
by their stored labels.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`distill` has been tuned on digits-seq alone.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Replay
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup, Strategy
from clbench.models.losses import bce
from clbench.models.network import Network
from clbench.options import option


@dataclass(frozen=True)
class LwFOptions:
    """Options of the distillation."""

    distill: float = option(
        1.0,
        "weight of the distillation loss (lambda_o), reduced as the run's loss is",
        at_least=0.0,
        search=(0.1, 10.0, "log"),
    )


class LwF(Strategy):
    """Cross-entropy on labels for new columns, on the old model's outputs for old ones."""

    Options = LwFOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.teacher: Network | None = None

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        if self.teacher is None:
            return super().losses(batch, replay)
        old = self.loader.on_device(torch.tensor(self.stage.old))  # a Python list as an index would wait for the device
        both = replace(batch, known=batch.known.index_fill(1, old, False)).join(replay)
        logits = self.model(both.inputs)
        with torch.no_grad():
            target = self.teacher(batch.inputs).index_select(1, old).sigmoid()  # (B, old)
        student = logits[: len(batch)].index_select(1, old)
        all_known = torch.ones_like(target, dtype=torch.bool)
        distilled = bce(student, target, all_known, self.train_options.reduction)
        loss = self.criterion(logits, both.labels, both.known)
        return {"loss": loss, "distilled": self.options.distill * distilled}

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        if self.teacher is not None:  # keeps the model's shape; its new columns teach nothing
            self.teacher.head.grow(self.model.head.num_classes, torch.Generator().manual_seed(0))

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        self.teacher = self._frozen_copy()

    def _frozen_copy(self) -> Network:
        return deepcopy(self.model).requires_grad_(False).eval()

    def memory_bytes(self) -> int:
        teacher = () if self.teacher is None else self.teacher.state_dict().values()
        return super().memory_bytes() + sum(int(tensor.nbytes) for tensor in teacher)

    def state(self) -> dict[str, Any]:
        return super().state() | {"teacher": None if self.teacher is None else self.teacher.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.teacher = None
        if state["teacher"] is not None:
            self.teacher = self._frozen_copy()
            self.teacher.load_state_dict(state["teacher"])
