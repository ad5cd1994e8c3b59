"""GEM: the gradient of the new batch becomes the nearest one that opposes the gradient of no older task.

With g the gradient of the new images' loss, and the rows of G those of images of each older task that the memory gave,

    where G g < 0 for any task:
    v := argmin |G^T v + g|^2 over v >= margin,  g := g + G^T v

and then one step of the optimiser, on g alone: what is drawn is not learned. With `margin` 0 that is the projection of
g on the gradients that oppose none of G; above 0 each older task's own is added by at least that much. `projected` is 1
for a step that was projected. From the second task on; the first is `finetune`.

Source: Lopez-Paz, Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017, arXiv 1706.08840, as
released (github.com/facebookresearch/GradientEpisodicMemory, code read; the paper was not). Its margin is 0.5 in every
experiment.

Matched: without a margin it is the projection that scipy's SLSQP finds, within 1e-5 of the gradient's norm over 50
draws (tests/strategies/test_gem.py::test_without_a_margin_it_is_the_nearest_that_opposes_none); with one, v is that of
scipy's bounded least squares, within 1e-6 over 50 draws
(tests/strategies/test_gem.py::test_with_a_margin_it_is_bounded_least_squares). With one older task and no margin it is
`agem`'s projection, within 1e-6 (tests/strategies/test_gem.py::test_one_task_is_a_gem). A step of the third task is
that of these gradients, of images of the first and of the second task each by itself, within 1e-6 of each weight
(tests/strategies/test_gem.py::test_a_step_is_that_of_a_gradient_for_each_older_task).

Differs: the release keeps the last 256 images of each task, takes the gradient of all of them at each step, and knows
for each image the task whose outputs it may look at. Here it is any memory, by default a reservoir; as many images are
drawn as are new unless `replay_batch` says otherwise, of each older task equally many, so that a step takes as many
gradient images as one of `er`; a task of which the memory has none, or for which none is left to draw, sets no bound in
that step. Losses are over all columns that the head has. A memory that decides at a task's end gives what it takes then
to the task that ends. Gradients of older tasks are taken in evaluation mode: a task may be drawn a single image, which
has no batch statistics; the release takes them in training mode. With Adam, moments stand between a projected gradient
and the step. Avalanche's adds 0.001 to the diagonal of G G^T; the release and ours add nothing.

Never run: on a GPU, where each step of a later task waits for the device; on coco-seq, nuswide-seq or another real
collection in full; beside another implementation of it. `margin` has been tuned on digits-seq alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls
from torch import Tensor

from clbench.arrays import IntArray
from clbench.learning.batch import Batch, Replay
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup
from clbench.options import option
from strategies.agem import AGEM

CPU = torch.device("cpu")


@dataclass(frozen=True)
class GEMOptions:
    """Options of the projection."""

    margin: float = option(
        0.5,
        "least share of each older task's gradient that a projected one has; Lopez-Paz and Ranzato: 0.5",
        at_least=0.0,
        search=(0.0, 1.0, "linear"),
    )


class GEM(AGEM):
    """One step on the new images, with a gradient that opposes that of no older task."""

    Options = GEMOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        assert self.memory is not None
        self.memory.keep("task", (), torch.int64, CPU)  # counted from 1: 0 is not told yet

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "gem compares gradients with a memory's; without one it is --strategy finetune"

    def draw(self, n: int, generator: np.random.Generator) -> IntArray:
        """Of each older task equally many; where n cannot be divided, a random few have one more."""
        tasks = self._tasks()
        older = [np.flatnonzero(tasks == number) for number in range(1, self.stage.number + 1)]
        older = [slots for slots in older if len(slots)]
        shares = np.full(len(older), n // max(len(older), 1))
        shares[generator.permutation(len(older))[: n - shares.sum()]] += 1
        drawn = [generator.choice(slots, min(k, len(slots)), False) for slots, k in zip(older, shares, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *drawn])

    def references(self, drawn: Replay) -> Tensor:
        for module in self.modules().values():
            module.eval()  # a few images of a task have no statistics of their own
        tasks = drawn.kept["task"].numpy()
        parts = [drawn.samples.rows(np.flatnonzero(tasks == number)) for number in np.unique(tasks)]
        gradients = [self.gradient(self.loss(self.load(part))) for part in parts]
        self.train()
        return torch.stack(gradients)

    def projected(self, gradient: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        return project(gradient, references, self.options.margin)

    def remember(self, batch: Batch, **kept: Tensor) -> None:
        super().remember(batch, task=torch.full((len(batch),), self.stage.number + 1), **kept)

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        assert self.memory is not None
        new = np.flatnonzero(self._tasks() == 0)
        self.memory.put(new, {"task": torch.full((len(new),), stage.number + 1)})

    def _tasks(self) -> IntArray:
        """Of which task what stands in each slot is, from 1: (m,)."""
        assert self.memory is not None
        tasks: IntArray = self.memory.kept(np.arange(len(self.memory)))["task"].numpy()
        return tasks


def project(gradient: Tensor, references: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The gradient (P,) that opposes no reference (K, P), and whether one did: bool (). Waits for the device."""
    products = references @ gradient
    opposes = (products < 0).any()
    if not _on_host(opposes & products.isfinite().all()):  # not finite: the trainer stops a run that has diverged
        return gradient, opposes
    columns = references.double().T
    found = gradient.double() + margin * columns.sum(1)
    basis, triangle = torch.linalg.qr(columns)  # |columns u + found| and |triangle u + basis^T found| have one minimum
    shares, _ = nnls(_on_host(triangle), -_on_host(basis.T @ found))
    for share, column in zip(shares.tolist(), columns.T, strict=True):
        found = found + share * column
    return found.to(gradient.dtype), opposes


def _on_host(tensor: Tensor) -> npt.NDArray[Any]:
    """The one place that waits for the device: the programme is solved on the CPU."""
    array: npt.NDArray[Any] = tensor.cpu().numpy()
    return array
