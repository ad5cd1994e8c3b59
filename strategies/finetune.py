"""Plain training on the stream, with nothing against forgetting: the lower bound."""

from clbench.learning.strategy import Strategy


class Finetune(Strategy):
    """One gradient step on each batch."""

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return "finetune has no memory; use --strategy er to replay from one" if memory else None
