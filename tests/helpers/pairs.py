"""Every two of strategy, memory and head beside each other, so that their number does not multiply."""

from installed import installed

from clbench import plugins

Combination = tuple[str, str | None, str]
"""Strategy, memory, head."""


def pairs() -> list[Combination]:
    """Each strategy with each memory and with each head, the third by default; each memory with each head under er.

    Strategies that cannot be loaded here are left out.
    """
    memories, heads = (None, *plugins.available("memory")), tuple(plugins.available("head"))
    found: list[Combination] = []
    for name in installed("strategy"):
        strategy = plugins.load("strategy", name)
        found += [(name, memory, strategy.head) for memory in memories]
        found += [(name, strategy.memory_policy, head) for head in heads]
    found += [("er", memory, head) for memory in memories for head in heads]
    return list(dict.fromkeys(found))
