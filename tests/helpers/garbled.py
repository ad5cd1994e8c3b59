"""Bytes, and JSON values, with something wrong in them."""

import copy
import random
from typing import Any


def garble(data: bytes, rng: random.Random) -> bytes:
    """Cut off, flipped, in another encoding, repeated, or nested without end."""
    way = rng.randrange(7)
    place = rng.randrange(len(data))
    if way == 0:
        return data[:place]
    if way == 1:
        return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    if way == 2:
        return data.decode().encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))
    if way == 3:
        return data + data[place:]
    if way == 4:
        return data[:place] + b"[" * 20000 + data[place:]
    if way == 5:
        return data[:place] + rng.randbytes(9) + data[place:]
    return data[:place] + b"9" * 5000 + data[place:]


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**63, 10**400, 1.5, float("nan"), float("inf"), "", "1", "../x", "/etc/passwd", "a\0b",
    "\ud800", [], {}, [[]], {"id": 1}, "x" * 5000,
)  # fmt: skip


def mutate(value: Any, rng: random.Random) -> Any:
    """One change somewhere in a JSON value."""
    value = copy.deepcopy(value)
    here = value
    while isinstance(here, dict | list) and here:
        key = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        if not isinstance(here[key], dict | list) or not here[key] or rng.random() < 0.2:
            break
        here = here[key]
    change = rng.randrange(4)
    if change == 0:
        del here[key]
    elif change == 1 and isinstance(here, list):
        here.append(copy.deepcopy(here[key]))
    else:
        here[key] = copy.deepcopy(rng.choice(ODD))
    return value
