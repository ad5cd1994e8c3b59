"""Which of the processes that share one run this one is, as torchrun tells it. No torch here."""

import os
from dataclasses import dataclass

from clbench.errors import UsageError

TOLD = {"rank": "RANK", "size": "WORLD_SIZE", "local": "LOCAL_RANK"}
"""The variables of torchrun that say it; MASTER_ADDR and MASTER_PORT say where the processes meet."""


@dataclass(frozen=True)
class World:
    """rank: of this process, from 0; the first one alone writes and speaks. size: how many there are. local: rank among
    those on this machine, which is the number of its device.
    """

    rank: int = 0
    size: int = 1
    local: int = 0


def world() -> World:
    """As the environment says; one process where it says nothing.

    Raises:
        UsageError: some of the variables are there and others are not, or they are no such numbers.
    """
    said = {name: os.environ.get(variable) for name, variable in TOLD.items()}
    if "WORLD_SIZE" not in os.environ or "MASTER_ADDR" not in os.environ:
        return World()
    try:
        found = World(**{name: int(str(value)) for name, value in said.items()})
    except ValueError:
        found = World(-1)
    if not 0 <= found.local <= found.rank < found.size:
        shown = ", ".join(f"{TOLD[name]}={value}" for name, value in said.items())
        raise UsageError(f"Expected torchrun's variables to say which process this is but got {shown}; unset them.")
    return found
