"""A probe: logits, and a mask of the columns that there were, stored beside each sample and held to later.

After Buzzega et al. (DER, NeurIPS 2020, arXiv 2004.07211); for tests alone.
"""

import torch
from torch import Tensor

from clbench import Batch, Replay, Setup, Strategy, Values
from clbench.memory import COLUMNS


class StoredLogits(Strategy):
    """Replayed logits are held to the stored ones, in the columns that there were."""

    memory_policy = "reservoir"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if self.memory is not None:
            self.memory.keep("logits", (COLUMNS,), torch.float32, self.device)
            self.memory.keep("there", (COLUMNS,), torch.bool, self.device)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "stored-logits needs a memory"

    def held(self, logits: Tensor, replay: Replay) -> Tensor:
        """The mean square of what has moved since it was stored, over the columns that there were."""
        there, stored = replay.kept["there"], replay.kept["logits"]
        return (there * (logits - stored) ** 2).sum() / there.sum().clamp(min=1)

    def observe(self, batch: Batch) -> Values:
        replay = self.recall(len(batch))
        both = batch.join(replay)
        logits = self.model(both.inputs)
        losses = {"loss": self.criterion(logits, both.labels, both.known)}
        if replay:
            losses["held"] = self.held(logits[len(batch) :], replay)
        self.step(torch.stack(list(losses.values())).sum())
        own = logits[: len(batch)].detach()
        self.remember(batch, logits=own, there=torch.ones_like(own, dtype=torch.bool))
        return {name: value.detach() for name, value in losses.items()}
