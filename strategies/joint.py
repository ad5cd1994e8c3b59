"""Joint training on all tasks at once: the upper bound.

It learns one shuffled stream of all tasks, and is evaluated once, at the end. A bound is one only if it has had the
same chance: `passes` counts passes over what the others see in their epochs, images that enter several tasks as often
as they do. With 2 it takes as many gradient images as a strategy that replays as many as are new; on the embedded
scenarios more, until it no longer helped.
"""

from dataclasses import dataclass

from clbench.options import option
from strategies.finetune import Finetune


@dataclass(frozen=True)
class JointOptions:
    """Options of the bound."""

    passes: int = option(
        2, "passes over the stream for each of its epochs; 2: as many gradient images as with replay", at_least=1
    )


class Joint(Finetune):
    """One gradient step on each batch of the shuffled union of the tasks."""

    Options = JointOptions
    joint = True
    scenario_defaults = {
        "digits-seq": {"strategy": {"passes": 15}},
        "digits-b0-c4": {"strategy": {"passes": 4}},
    }

    @property
    def passes(self) -> int:
        return int(self.options.passes)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return "joint sees all tasks at once, so a memory has nothing to add; leave --memory out" if memory else None
