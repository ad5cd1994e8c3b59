"""Synaptic intelligence: weights that did much to lower the loss are held near their values of the last task's end.

With g the gradient of the loss of a step and d the change that the step made to a weight w, the weight's part in what a
task learned is the path integral -sum g d. At the task's end it is added to the weight's importance, per squared change
over the whole task:

    importance := max(0, importance - sum g d / ((w - w_start)^2 + damping))
    loss       := l(batch) + strength * sum importance (w - w_start)^2

It looks at no image again; a step takes what one of `finetune` takes, and copies of gradients and weights.

Source: Zenke, Poole, Ganguli, "Continual Learning Through Synaptic Intelligence", ICML 2017, arXiv 1703.04200, as
released (github.com/ganguli-lab/pathint, code read; the paper was not). Its split CIFAR has strengths of 0.01 and 0.1
and a damping of 0.001.

Matched: importance after each of two tasks, and the penalty of each step, are the definition in NumPy's float64, within
1e-4 of a tensor's largest, with Adam and clipping too
(tests/strategies/test_si.py::test_two_tasks_are_the_definition_in_numpy). On a loss that is quadratic in one weight,
with steps by hand, all of it is exact (tests/strategies/test_si.py::test_a_path_worked_by_hand). In the first task it
is `finetune`, bit for bit (tests/strategies/test_si.py::test_the_first_task_is_finetuning).

Differs: for several labels nothing changes, since a step has one loss; hidden labels have no part in it, nor has the
penalty. Gradients are those of before clipping, changes those that the optimiser made. The release begins its optimiser
afresh at each task; ours goes on. Rows of a head that grows have an importance from the end of the task on that brought
them. Running statistics of batch normalisation are not held. Strength is in the unit of the run's loss, under
`reduction=mean` as under `sum`. Avalanche's differs from the release: it takes the gradient with the penalty's, leaves
out batch normalisation, halves the penalty, and clips importance at 0.001.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`strength` and `damping` have been tuned on digits-seq alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from clbench.learning.anchored import Anchor, Anchored, Weights
from clbench.learning.batch import Batch, Values
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup
from clbench.options import option


@dataclass(frozen=True)
class SIOptions:
    """Options of the penalty."""

    strength: float = option(
        0.1,
        "weight c of the penalty c * sum importance (w - w_old)^2; Zenke et al.: 0.01 and 0.1 on split CIFAR",
        at_least=0.0,
        search=(1e-2, 1e3, "log"),
    )
    damping: float = option(
        1e-3,
        "xi, added to a weight's squared change, by which its path is divided; Zenke et al.: 0.001 on split CIFAR",
        above=0.0,
        search=(1e-5, 1e-1, "log"),
    )


class SI(Anchored):
    """The batch's loss, plus a pull to the weights of the last task's end. Its one anchor is where the task began."""

    Options = SIOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.path: Weights = {}
        """Of each weight -sum g d over the task so far."""

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        importance = self.anchors[0].importance if self.anchors else {}
        self.anchors = [Anchor(importance, self.weights())]
        self.path = {name: torch.zeros_like(weight) for name, weight in self.anchors[0].weights.items()}

    def observe(self, batch: Batch) -> Values:
        losses, weights = self.losses(batch, self.recall(len(batch))), self.named_parameters()
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(losses["loss"])
        gradients = {name: weight.grad.clone() for name, weight in weights.items() if weight.grad is not None}
        if losses["penalty"].requires_grad:
            self.backward(losses["penalty"])
        before = self.weights()
        self.apply()
        for name, gradient in gradients.items():
            self.path[name] -= gradient * (weights[name].detach() - before[name])
        self.remember(batch)
        return {name: loss.detach() for name, loss in losses.items()}

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        [(importance, start)], now = self.anchors, self.weights()
        for name, weight in now.items():
            gained = self.path[name] / ((weight - start[name]) ** 2 + self.options.damping)
            importance[name] = (importance.get(name, 0) + gained).clamp(min=0)
        self.anchors = [Anchor(importance, now)]

    def memory_bytes(self) -> int:
        return super().memory_bytes() + sum(part.nbytes for part in self.path.values())

    def state(self) -> dict[str, Any]:
        return super().state() | {"path": dict(self.path)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.path = dict(state["path"])
