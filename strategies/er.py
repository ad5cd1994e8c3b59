"""Experience replay: each step learns from the new batch and from a batch drawn from a memory.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", arXiv 1902.10486.
Differs from the paper: multi-label targets; the step's details are those of PRS (Kim, Jeong, Kim, ECCV 2020,
arXiv 2009.03632): 10 new and 10 replayed images under one mean loss, memory updated after the step.
"""

from clbench.learning.strategy import Strategy


class ExperienceReplay(Strategy):
    """One gradient step on the new and the replayed samples together: what every strategy does that says no more."""

    memory_policy = "reservoir"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "er replays from a memory; without one it is --strategy finetune"
