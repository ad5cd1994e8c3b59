"""On what and how a run computes: the device, and what makes it repeat."""

import re

import torch

from clbench.errors import UsageError
from clbench.randomness import derive


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises UsageError for a device that cannot be had."""
    numbered = re.fullmatch(r"cuda:(\d{1,4})", name, re.ASCII)
    if name not in ("auto", "cpu", "cuda") and not numbered:
        raise UsageError(f"Expected --device to be auto, cpu, cuda or cuda:N but got {name!r}.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"Expected a CUDA device for --device {name} but found none; use --device cpu or auto.")
    if numbered and int(numbered[1]) >= torch.cuda.device_count():
        raise UsageError(
            f"Expected a CUDA device {name} but there are {torch.cuda.device_count()}, the first is cuda:0."
        )
    if numbered:
        return torch.device(name)
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def deterministic(seed: int, threads: int) -> None:
    """Seed torch's own generator (dropout), fix the threads, and ask CUDA for the algorithms that repeat."""
    torch.set_num_threads(threads)
    torch.manual_seed(derive(seed, "torch"))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
