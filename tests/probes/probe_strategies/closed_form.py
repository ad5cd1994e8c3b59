"""A probe: after the first task the backbone is frozen, and ridge regression on its maps gives the scores.

After L3A (github.com/scut-zx/L3A), without its weights and pseudo-labels; for tests alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clbench import Batch, Setup, Stage, Strategy, Values

GAMMA = 1.0


class ClosedForm(Strategy):
    """Sums over samples of f f^T and f y^T, from which the weights follow at any time."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        width = self.model.backbone.channels
        self.squares = torch.zeros(width, width, dtype=torch.float64, device=self.device)
        self.products = torch.zeros(width, 0, dtype=torch.float64, device=self.device)

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        columns = self.model.head.num_classes
        self.products = torch.nn.functional.pad(self.products, (0, columns - self.products.shape[1]))

    def observe(self, batch: Batch) -> Values:
        if not self.model.frozen:
            return super().observe(batch)
        features = self.features(batch.inputs)
        error = (features @ self.weights() - batch.labels).square().mean()
        self.add(features, batch.labels)
        return {"loss": error}

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        if not self.model.frozen:
            self.freeze()
            for batch in self.over(stage.task.samples):
                self.add(self.features(batch.inputs), batch.labels)

    @torch.no_grad()
    def features(self, inputs: Tensor) -> Tensor:
        return self.model.map_of(inputs).mean((2, 3)).double()

    def add(self, features: Tensor, labels: Tensor) -> None:
        self.squares = self.squares + features.T @ features
        self.products = self.products + features.T @ labels.double()

    def weights(self) -> Tensor:
        ridge = self.squares + GAMMA * torch.eye(len(self.squares), dtype=torch.float64, device=self.device)
        weights: Tensor = torch.linalg.solve(ridge, self.products)
        return weights

    def predict(self, inputs: Tensor) -> Tensor:
        if not self.model.frozen:
            return super().predict(inputs)
        return (self.features(inputs) @ self.weights()).float()

    def memory_bytes(self) -> int:
        return super().memory_bytes() + self.squares.nbytes + self.products.nbytes

    def state(self) -> dict[str, Any]:
        return super().state() | {"squares": self.squares, "products": self.products}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.squares, self.products = state["squares"], state["products"]
