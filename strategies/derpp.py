"""DER++: replayed images are held to the logits that they had when they were stored, others to their labels.

With z' the logits that stand beside an image x' in the memory, of the columns that existed then, and x'' drawn from it
independently of x':

    loss = l(x, y) + alpha * mean (z(x') - z')^2 + beta * l(x'', y'')

The distillation is reduced as the run's loss is: a mean over the columns that stand beside the images with
`reduction=mean`, with `reduction=sum` a sum over an image's columns, then a mean over images. A term of weight 0 draws
nothing. With both, a step has twice as many replayed images as new ones, and three times the gradient images of
`finetune`.

Source: Buzzega et al., "Dark Experience for General Continual Learning: a Strong, Simple Baseline", NeurIPS 2020, arXiv
2004.07211 (the loss by its formula; code of the authors' framework read, github.com/aimagelab/mammoth). `alpha` and
`beta` of 0.5 are what the paper calls stable, as a later work's notes report it.

Matched: two tasks of it are a plain PyTorch loop over the images drawn, its weights bit for bit, and so are the logits
that stand in the memory at the end
(tests/strategies/test_derpp.py::test_two_tasks_are_a_plain_pytorch_loop). What is stored are the logits of before the
step, and they stay as they are, bit for bit, while the head grows
(tests/strategies/test_derpp.py::test_old_logits_stay_as_they_were_and_new_columns_are_left_out). Loss and mask by the
definition in NumPy, under mean and sum, within 1e-6 relative
(tests/strategies/test_derpp.py::test_the_distance_is_the_definition_over_the_columns_that_were_there).

Differs: multi-label targets. Which columns there were stands beside the logits, since heads grow; where all are there
from the start, `columns=seen` leaves out those of tasks to come, whose logits nothing has taught yet, and `columns=all`
does not. New images and both draws go through the model in one pass, as in `er`, so batch normalisation sees them
together; the authors' framework has a pass for each. As many are drawn, each time, as are new. Images are not augmented
here. A memory that decides at a task's end has no logits of what it takes then, and that is not distilled.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`alpha` and `beta` have been tuned on digits-seq alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Values
from clbench.learning.strategy import Setup, Strategy
from clbench.memory import COLUMNS
from clbench.models.losses import squared
from clbench.options import option


@dataclass(frozen=True)
class DEROptions:
    """Options of the distillation."""

    alpha: float = option(
        0.5,
        "weight of the distance to stored logits, reduced as the run's loss is",
        at_least=0.0,
        search=(0.1, 1.0, "log"),
    )
    columns: str = option(
        "seen",
        "whose logits are stored: seen, of the classes introduced so far; all, of every column that the head has",
        choices=("seen", "all"),
    )


@dataclass(frozen=True)
class DERppOptions(DEROptions):
    """Options of the distillation, and of replay by labels."""

    beta: float = option(0.5, "weight of the loss of replayed labels", at_least=0.0, search=(0.1, 2.0, "log"))


class DERpp(Strategy):
    """One step on new images, on replayed ones by their logits, and on others by their labels."""

    Options: ClassVar[type[DEROptions]] = DERppOptions
    memory_policy = "reservoir"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        assert self.memory is not None
        self.memory.keep("logits", (COLUMNS,), torch.float32, self.device)
        self.memory.keep("columns", (COLUMNS,), torch.bool, self.device)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        name = cls.__name__.lower()
        return None if memory else f"{name} replays from a memory; without one it is --strategy finetune"

    @property
    def beta(self) -> float:
        """Weight of the loss of replayed labels."""
        return float(self.options.beta)

    def observe(self, batch: Batch) -> Values:
        distilled = self.recall(len(batch)) if self.options.alpha else None
        labelled = self.recall(len(batch)) if self.beta else None
        logits = self.model(batch.join(distilled).join(labelled).inputs)
        new, old, other = logits.split([len(batch), len(distilled or ()), len(labelled or ())])
        losses = {"loss": self.criterion(new, batch.labels, batch.known)}
        if distilled is not None:
            losses["distilled"] = self.options.alpha * self.distance(old, distilled.kept)
        if labelled is not None:
            losses["replayed"] = self.beta * self.criterion(other, labelled.labels, labelled.known)
        self.step(reduce(torch.add, losses.values()))
        self.remember(batch, logits=new, columns=self._columns_there().expand_as(new))
        return {name: loss.detach() for name, loss in losses.items()}

    def distance(self, logits: Tensor, kept: Mapping[str, Tensor]) -> Tensor:
        """Of logits (B, C) to those stored, over the columns stored: scalar."""
        return squared(logits, kept["logits"], kept["columns"], self.train_options.reduction)

    def _columns_there(self) -> Tensor:
        """(C,) bool: whose logits are stored now."""
        everything, seen = self.options.columns == "all", set(self.stage.seen)
        there = [everything or column in seen for column in range(self.model.head.num_classes)]
        return self.loader.on_device(torch.tensor(there))
