"""Elastic weight consolidation: weights that mattered for old tasks are held near their old values.

Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv 1612.00796; the online
variant: Schwarz et al., "Progress & Compress", ICML 2018, arXiv 1805.06370.
Differs from the papers: multi-label targets, so a sample's log-likelihood is the sum over its known labels; the Fisher
information is the empirical one (at the given labels, not at labels drawn from the model). It is the mean of squared
gradients of *single samples*; the square of a batch's mean gradient, as some frameworks have it, is something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Replay
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup, Strategy
from clbench.models.losses import bce
from clbench.options import option


@dataclass(frozen=True)
class EWCOptions:
    """Options of the penalty."""

    strength: float = option(100.0, "weight lambda of the penalty lambda/2 * sum F (w - w_old)^2", at_least=0.0)
    variant: str = option(
        "sum", "sum: one penalty per old task; online: one for all, its Fisher decaying", choices=("sum", "online")
    )
    decay: float = option(1.0, "what the online Fisher is multiplied by at each task (gamma, 0 to 1)", at_least=0.0)
    fisher_samples: int = option(200, "training images of a task that its Fisher is taken over", at_least=1)


class EWC(Strategy):
    """The batch's loss plus a quadratic penalty for each anchor (Fisher information, weights) kept so far."""

    Options = EWCOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.anchors: list[tuple[list[Tensor], list[Tensor]]] = []

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        return super().losses(batch, replay) | {"penalty": self.penalty()}

    def penalty(self) -> Tensor:
        """strength / 2 * sum over anchors of F (w - w_old)^2."""
        total, weights = torch.zeros((), device=self.device), self.parameters()
        for fisher, old in self.anchors:
            for f, w, w_old in zip(fisher, weights, old, strict=True):
                total = total + (f * (w[: len(w_old)] - w_old) ** 2).sum()
        half: Tensor = self.options.strength / 2 * total
        return half

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        fisher = self.fisher(stage)
        if self.options.variant == "online" and self.anchors:
            before, _ = self.anchors.pop()
            for f, b in zip(fisher, before, strict=True):
                f[: len(b)] += self.options.decay * b
        self.anchors.append((fisher, [w.detach().clone() for w in self.parameters()]))

    def fisher(self, stage: Stage) -> list[Tensor]:
        """Mean over single samples of the squared gradient of the log-likelihood, one tensor for each weight."""
        samples = stage.task.samples
        rows = self.generator("fisher", stage.task.name).permutation(len(samples))[: self.options.fisher_samples]
        total = [torch.zeros_like(w) for w in self.parameters()]
        for gradients in self.gradients(samples.rows(rows), self._log_likelihood):
            for sum_, gradient in zip(total, gradients, strict=True):
                sum_ += gradient**2
        return [sum_ / len(rows) for sum_ in total]

    def _log_likelihood(self, batch: Batch) -> Tensor:
        """Of one sample, up to its sign, which squaring takes away."""
        return bce(self.model(batch.inputs), batch.labels, batch.known, reduction="sum")

    def memory_bytes(self) -> int:
        return super().memory_bytes() + sum(t.nbytes for anchor in self.anchors for part in anchor for t in part)

    def state(self) -> dict[str, Any]:
        anchors = [{"fisher": list(fisher), "weights": list(old)} for fisher, old in self.anchors]
        return super().state() | {"anchors": anchors}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.anchors = [(list(anchor["fisher"]), list(anchor["weights"])) for anchor in state["anchors"]]
