"""Experience replay: each step learns from the new batch and from a batch drawn from a memory.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", arXiv 1902.10486.
Differs from the paper: multi-label targets; the step's details are those of PRS (Kim, Jeong, Kim, ECCV 2020,
arXiv 2009.03632): 10 new and 10 replayed images under one mean loss, memory updated after the step.
"""

from dataclasses import dataclass

from clbench.learning.batch import Batch, Values
from clbench.learning.strategy import Strategy
from clbench.options import option


@dataclass(frozen=True)
class ReplayOptions:
    """Options of the replay step."""

    replay_batch: int = option(
        10, "images drawn from the memory at each step, where there is one; PRS draws 10", at_least=1
    )


class ExperienceReplay(Strategy):
    """One gradient step on the new and the replayed samples together."""

    Options = ReplayOptions
    memory_policy = "reservoir"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "er replays from a memory; without one it is --strategy finetune"

    def observe(self, batch: Batch) -> Values:
        loss = self.loss(batch.join(self.recall(self.options.replay_batch)))
        self.step(loss)
        self.remember(batch)
        return {"loss": loss.detach()}
