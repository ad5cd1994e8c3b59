"""Memory aware synapses: weights that the model's outputs are sensitive to are held near their old values.

At a task's end, with z(x) the logits of all classes seen so far and n images of the task,

    importance := importance + 1/n sum over x of |gradient of |z(x)|^2|
    loss       := l(batch) + strength * sum importance (w - w_old)^2

and w_old are the weights of that moment. It asks for no label: a backward pass an image is all.

Source: Aljundi, Babiloni, Elhoseiny, Rohrbach, Tuytelaars, "Memory Aware Synapses: Learning what (not) to forget", ECCV
2018, arXiv 1711.09601, as released (github.com/rahafaljundi/MAS-Memory-Aware-Synapses, code read; the paper was not).
Its strength is 1 in object recognition.

Matched: importance is the mean over single images of autograd's gradient, in absolute value, within 1e-5 relative, and
adds up over tasks (tests/strategies/test_mas.py::test_importance_is_the_mean_over_single_images_and_adds_up). On a
linear head it is the closed form 2 |z_c| |f| of its logits z and features f, within 1e-5 relative
(tests/strategies/test_mas.py::test_importance_of_a_linear_head_in_closed_form). The penalty is its definition, within
1e-5 relative (tests/strategies/test_mas.py::test_the_penalty_is_the_definition). No label has a part in importance, bit
for bit (tests/strategies/test_mas.py::test_importance_asks_for_no_label).

Differs: the outputs of several labels are their logits, and those of classes that no task has brought yet are left out:
nothing was learned of them. Logits of older classes count whether or not the protocol shows their labels. Importance is
of `samples` images of a task, not of all. The release can take its gradients of whole batches, whose parts cancel; ours
are of single images, as it has them where importance adds up over tasks. Rows of a head that grows have no importance
in the task that brings them. Running statistics of batch normalisation are not held. Strength is in the unit of the
run's loss, so it weighs more under `reduction=mean` than under `sum`. Avalanche's differs from the release: batches in
training mode, and a running mean over tasks.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`strength` has been tuned on digits-seq alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.learning.anchored import Anchor, Anchored, Weights
from clbench.learning.batch import Batch
from clbench.learning.stage import Stage
from clbench.options import option


@dataclass(frozen=True)
class MASOptions:
    """Options of the penalty."""

    strength: float = option(
        1.0,
        "weight lambda of the penalty lambda * sum importance (w - w_old)^2; Aljundi et al.: 1",
        at_least=0.0,
        search=(1e-2, 1e3, "log"),
    )
    samples: int = option(
        200, "training images of a task that importance is taken over, a backward pass each", at_least=1
    )


class MAS(Anchored):
    """The batch's loss, plus a pull to the weights of the last task's end, the one anchor."""

    Options = MASOptions

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        importance = self.importance(stage)
        for anchor in self.anchors:
            for name, before in anchor.importance.items():
                if name in importance:  # else it is frozen since
                    importance[name] += before
        self.anchors = [Anchor(importance, self.weights())]

    def importance(self, stage: Stage) -> Weights:
        """The mean over single images of the outputs' sensitivity to each weight."""
        samples = stage.task.samples
        rows = self.generator("importance", stage.task.name).permutation(len(samples))[: self.options.samples]
        seen = self.loader.on_device(torch.tensor(stage.seen))

        def length(batch: Batch) -> Tensor:
            logits: Tensor = self.model(batch.inputs)
            return logits.index_select(1, seen).square().sum()

        total = {name: torch.zeros_like(weight) for name, weight in self.named_parameters().items()}
        for gradients in self.gradients(samples.rows(rows), length):
            for sum_, gradient in zip(total.values(), gradients, strict=True):
                sum_ += gradient.abs()
        return {name: sum_ / len(rows) for name, sum_ in total.items()}
