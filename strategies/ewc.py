"""Elastic weight consolidation: weights that mattered for old tasks are held near their old values.

Exact Fisher information costs a backward pass for each known label of an image, the others one an image. So
`fisher_samples` is small by default: 12 images of 20 labels are 240 backward passes.

The Fisher is in the unit of an image's log-likelihood, which `reduction=sum` trains on. `reduction=mean` divides the
loss by the mean number of known labels of the batch's images, and here the penalty with it: so `strength` means one
thing under both.

Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv 1612.00796, and
for `variant=online` Schwarz et al., "Progress & Compress", ICML 2018, arXiv 1805.06370 (both by their formula, as later
work gives it). van de Ven, "On the Computation of the Fisher Information in Continual Learning", arXiv 2502.11756
(abstract and summary read): exact Fisher information did better than the sampled and the empirical one; there with one
softmax.

Matched: exact Fisher information is the expectation of the squared gradient over all vectors of labels, in float64
within 1e-12 relative (tests/strategies/test_ewc.py::test_the_exact_fisher_is_the_expectation_over_all_label_vectors).
Exact and empirical are autograd's mean over single images, in float32 within 1e-5 relative
(tests/strategies/test_ewc.py::test_the_fisher_is_the_mean_over_single_samples). The mean of 400 sampled ones is the
exact one within 0.1 of its norm (tests/strategies/test_ewc.py::test_the_mean_of_sampled_fishers_is_the_exact_one). The
penalty of both variants is its definition, within 1e-5 relative
(tests/strategies/test_ewc.py::test_the_penalty_is_the_definition). `strength` means one thing under mean and sum,
within 1e-5 relative (tests/strategies/test_ewc.py::test_strength_means_one_thing_under_mean_and_sum).

Differs: multi-label targets, so a sample's log-likelihood is the sum over its known labels, each an independent sigmoid
p = sigmoid(z), and its exact Fisher diagonal the sum over them of p (1 - p) (dz/dw)^2; with `loss=asl`, which is no
likelihood, too. The Fisher is a mean over *single samples*; the square of a batch's mean gradient, as some frameworks
have it, is something else (tests/strategies/test_ewc.py::test_the_fisher_is_not_the_squared_batch_gradient).

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`strength` has been tuned on digits-seq alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clbench.learning.anchored import Anchor, Anchored
from clbench.learning.batch import Batch, Replay
from clbench.learning.stage import Stage
from clbench.models.losses import bce
from clbench.options import option


@dataclass(frozen=True)
class EWCOptions:
    """Options of the penalty."""

    strength: float = option(
        100.0,
        "weight lambda of the penalty lambda/2 * sum F (w - w_old)^2 beside an image's loss",
        at_least=0.0,
        search=(1.0, 1e5, "log"),
    )
    variant: str = option(
        "sum", "sum: one penalty per old task; online: one for all, its Fisher decaying", choices=("sum", "online")
    )
    decay: float = option(1.0, "what the online Fisher is multiplied by at each task (gamma, 0 to 1)", at_least=0.0)
    fisher: str = option(
        "exact",
        "exact: expected over the model's labels, a backward pass for each known label of an image; sampled: at labels "
        "drawn from the model; empirical: at the given ones; a backward pass an image",
        choices=("exact", "sampled", "empirical"),
    )
    fisher_samples: int = option(12, "training images of a task that its Fisher is taken over", at_least=1)


class EWC(Anchored):
    """The batch's loss plus a quadratic penalty for each anchor (Fisher information, weights) kept so far."""

    Options = EWCOptions

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        both = batch.join(replay)
        return {"loss": self.loss(both), "penalty": self.penalty() / self._labels_an_image(both.known)}

    def _labels_an_image(self, known: Tensor) -> float | Tensor:
        """What the run's loss is a log-likelihood per image divided by."""
        if self.train_options.reduction == "sum":
            return 1.0
        return known.sum().clamp(min=1) / len(known)  # clamped as in the losses

    def penalty(self) -> Tensor:
        """strength / 2 * sum over anchors of F (w - w_old)^2, in the unit of an image's log-likelihood."""
        return super().penalty() / 2

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        fisher = self.fisher(stage)
        if self.options.variant == "online" and self.anchors:
            before, _ = self.anchors.pop()
            for name, f in fisher.items():
                if name in before:  # else it is a new class's
                    f += self.options.decay * before[name]
        self.anchors.append(Anchor(fisher, self.weights()))

    def fisher(self, stage: Stage) -> dict[str, Tensor]:
        """The diagonal of the task's Fisher information, a mean over single samples: a tensor for each weight."""
        samples = stage.task.samples
        rows = self.generator("fisher", stage.task.name).permutation(len(samples))[: self.options.fisher_samples]
        kinds = {"exact": self._scores, "sampled": self._sampled, "empirical": self._empirical}
        total = {name: torch.zeros_like(w) for name, w in self.named_parameters().items()}
        for gradients in self.gradients(samples.rows(rows), kinds[self.options.fisher]):
            for sum_, gradient in zip(total.values(), gradients, strict=True):
                sum_ += gradient**2
        return {name: sum_ / len(rows) for name, sum_ in total.items()}

    def _scores(self, batch: Batch) -> Tensor:
        """Of one sample: (K,) logits of its known labels, each times the standard deviation of its label, a constant.

        Labels are independent, so what is expected of the squared gradient of their log-likelihood is the sum of these
        entries' squared gradients.
        """
        known = torch.from_numpy(np.flatnonzero(batch.samples.known[0]))
        logits = self.model(batch.inputs)[0].index_select(0, self.loader.on_device(known))
        fixed = logits.detach()
        scores: Tensor = logits * (fixed.sigmoid() * (-fixed).sigmoid()).sqrt()
        return scores

    def _sampled(self, batch: Batch) -> Tensor:
        """The log-likelihood of one sample, up to its sign, at labels drawn from the model."""
        rng = self.generator("fisher labels", self.stage.task.name, int(batch.samples.indices[0]))
        numbers = torch.from_numpy(rng.random(batch.labels.shape, np.float32))
        logits = self.model(batch.inputs)
        drawn = self.loader.on_device(numbers) < logits.detach().sigmoid()
        return bce(logits, drawn.to(logits.dtype), batch.known, reduction="sum")

    def _empirical(self, batch: Batch) -> Tensor:
        """The log-likelihood of one sample, up to its sign, which squaring takes away, at its given labels."""
        return bce(self.model(batch.inputs), batch.labels, batch.known, reduction="sum")
