"""Weights held near the values that they had, each as strongly as it mattered: what `ewc`, `mas` and `si` share."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clbench.learning.batch import Batch, Replay
from clbench.learning.strategy import Setup, Strategy

Weights = dict[str, Tensor]
"""A tensor for each weight, by the names of `Strategy.named_parameters`."""


class Anchor(NamedTuple):
    """Where weights were, and how much each of them mattered. A weight that `importance` leaves out is free."""

    importance: Weights
    weights: Weights


class Anchored(Strategy):
    """A strategy with a quadratic pull to anchors, which it keeps in its state and counts as memory.

    Its options have a `strength`.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.anchors: list[Anchor] = []

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        return {"loss": self.loss(batch.join(replay)), "penalty": self.penalty()}

    def penalty(self) -> Tensor:
        """What is added to the batch's loss: strength * sum importance (w - old)^2."""
        pull: Tensor = self.options.strength * self.distance()
        return pull

    def distance(self) -> Tensor:
        """The sum over anchors and weights of importance (w - old)^2: a scalar."""
        total, weights = torch.zeros((), device=self.device), self.named_parameters()
        for importance, old in self.anchors:
            for name, each in importance.items():
                if name in weights:  # else it is frozen since, and cannot move
                    total = total + (each * (weights[name] - old[name]) ** 2).sum()
        return total

    def weights(self) -> Weights:
        """Copies of all that learns, as it is now."""
        return {name: weight.detach().clone() for name, weight in self.named_parameters().items()}

    def memory_bytes(self) -> int:
        return super().memory_bytes() + sum(
            t.nbytes for anchor in self.anchors for part in anchor for t in part.values()
        )

    def state(self) -> dict[str, Any]:
        return super().state() | {"anchors": [{name: dict(p) for name, p in a._asdict().items()} for a in self.anchors]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.anchors = [
            Anchor(dict(anchor.get("importance", anchor.get("fisher"))), dict(anchor["weights"]))  # as `ewc` once said
            for anchor in state["anchors"]
        ]
