"""Bytes with something wrong in them."""

import random


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
