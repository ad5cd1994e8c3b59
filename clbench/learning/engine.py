"""On what and how a run computes: the device, and what makes it repeat."""

import torch

from clbench.errors import UsageError
from clbench.randomness import derive


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises UsageError for a device that cannot be had."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"Expected --device to be auto, cpu or cuda but got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("Expected a CUDA device for --device cuda but found none; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def deterministic(seed: int, threads: int) -> None:
    """Seed torch's own generator (dropout), fix the threads, and ask CUDA for the algorithms that repeat."""
    torch.set_num_threads(threads)
    torch.manual_seed(derive(seed, "torch"))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
