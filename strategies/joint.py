"""Joint training on all tasks at once: the upper bound.

It sees every training image `epochs` times, in one shuffled stream of all tasks, and is evaluated once, at the end.
More than one epoch, so that it is a true bound: strategies that replay see two images where one pass over the stream
sees one. The tables print the number of epochs.
"""

from strategies.finetune import Finetune


class Joint(Finetune):
    """One gradient step on each batch of the shuffled union of the tasks."""

    joint = True
    defaults = {"train": {"epochs": 5}}

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return "joint sees all tasks at once, so a memory has nothing to add; leave --memory out" if memory else None
