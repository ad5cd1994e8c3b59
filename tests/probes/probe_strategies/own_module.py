"""A probe: a module of its own beside the model, with dropout; for tests alone."""

import torch
from torch import Tensor, nn

from clbench import Batch, Replay, Setup, Strategy

COLUMNS = 6


class OwnModule(Strategy):
    """A second opinion on the pooled map, with dropout; the two are averaged."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        width = self.model.backbone.channels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(7)
            self.opinion = nn.Sequential(nn.Dropout(0.5), nn.Linear(width, COLUMNS)).to(self.device)

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "opinion": self.opinion}

    def scores(self, inputs: Tensor) -> Tensor:
        feature_map = self.model.map_of(inputs)
        logits: Tensor = self.model.head(feature_map)
        other: Tensor = self.opinion(feature_map.mean((2, 3)))
        return (logits + other[:, : logits.shape[1]]) / 2

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        both = batch.join(replay)
        return {"loss": self.criterion(self.scores(both.inputs), both.labels, both.known)}

    def predict(self, inputs: Tensor) -> Tensor:
        return self.scores(inputs)
