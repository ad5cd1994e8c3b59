"""Named random generators: every random choice has its own, derived from the seed and a purpose.

A generator is a function of (seed, purpose…) alone, through a stable hash. So how many numbers one part of a run
draws, the number of workers, and the machine never change what another part draws.
"""

import hashlib
import json

import numpy as np


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed from (seed, purpose…) by BLAKE2b, the same on every machine and in every process."""
    key = json.dumps([seed, *purpose]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose, e.g. ``generator(seed, "order", task, epoch)``."""
    return np.random.Generator(np.random.PCG64(derive(seed, *purpose)))
