"""A-GEM: the gradient of the new batch gives up what would raise the loss of a batch from the memory.

With g the gradient of the new images' loss and r that of images drawn from the memory, over all that learns:

    g := g - (g . r / r . r) r     where g . r < 0

and then one step of the optimiser, on g alone: what is drawn is not learned. From the second task on; the first has
nothing older to protect, and is `finetune`. `projected` is 1 for a step that was projected and 0 for one that was not,
so its mean over a task is the rate of projections. A step takes as many gradient images as one of `er`.

Source: Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019, arXiv 1812.00420 (the projection by its
formula; two other implementations read, github.com/aimagelab/mammoth and Avalanche's).

Matched: a step is a projection in NumPy's float64 of PyTorch's gradients, clipped and stepped on, within 1e-6 of each
weight, for a step with a conflict and for one without
(tests/strategies/test_agem.py::test_a_step_is_the_projection_in_numpy). Afterwards the gradient does not oppose the
memory's: g . r is within 1e-6 of the product of their norms below 0, or above
(tests/strategies/test_agem.py::test_what_is_left_does_not_oppose_the_memory). Without a conflict a step is that of
`finetune`, and so is the whole first task, bit for bit
(tests/strategies/test_agem.py::test_without_a_conflict_it_is_finetuning). Clipping comes after the projection
(tests/strategies/test_agem.py::test_clipping_comes_after_the_projection).

Differs: the paper draws from a memory that is written at each task's end, with equally many images of each older task;
here it is any memory, by default a reservoir, which is written at each step and so holds images of the present task too
(what others call A-GEM-R). As many images are drawn as are new unless `replay_batch` says otherwise. With Adam, moments
stand between a projected gradient and the step, which may raise the memory's loss all the same. The memory's pass comes
first and then the new batch's, both in training mode: batch normalisation takes its running statistics from both, and
normalises each by its own.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
"""

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Replay, Values
from clbench.learning.strategy import Strategy


class AGEM(Strategy):
    """One step on the new images, with a gradient that does not oppose the memory's."""

    memory_policy = "reservoir"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "agem compares gradients with a memory's; without one it is --strategy finetune"

    def observe(self, batch: Batch) -> Values:
        drawn = self.recall(len(batch)) if self.stage.old else None
        references = None if drawn is None else self.references(drawn)
        loss = self.loss(batch)
        gradient = self.gradient(loss)
        projected = torch.zeros_like(loss)
        if references is not None:
            gradient, projected = self.projected(gradient, references)
        self._take(gradient)
        self.apply()
        self.remember(batch)
        return {"loss": loss.detach(), "projected": projected.to(loss.dtype)}

    def references(self, drawn: Replay) -> Tensor:
        """Gradients that the new one must not oppose: (K, P). Here that of all that is drawn."""
        return self.gradient(self.loss(drawn))[None]

    def projected(self, gradient: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """The new gradient (P,) without what opposes the references (K, P), and whether anything did: bool ()."""
        return project(gradient, references[0])

    def gradient(self, loss: Tensor) -> Tensor:
        """Of a scalar, over `parameters()`, flat: (P,). What has no part in the loss has gradient 0."""
        gradients = torch.autograd.grad(loss, self.parameters(), materialize_grads=True)
        return self.reduced(torch.cat([gradient.flatten() for gradient in gradients]))

    def _take(self, gradient: Tensor) -> None:
        """Give each parameter its part of a flat gradient."""
        parameters = self.parameters()
        parts = torch.split(gradient, [parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def project(gradient: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """A gradient (P,) without what opposes a reference (P,), and whether anything did: bool (). Waits for nothing."""
    along = gradient @ reference
    opposes = along < 0
    share = along / (reference @ reference).clamp(min=torch.finfo(reference.dtype).tiny)
    return torch.where(opposes, gradient - share * reference, gradient), opposes
