"""What every benchmark script says about the machine, and how it writes a spread."""

import os
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

import torch

from clbench.running.environment import cpu_model


def header() -> str:
    """Processor, threads, load and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-learn"))
    load = os.getloadavg()[0]
    return f"{cpu_model()}; {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), load {load:.1f}; {versions}"


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median with the smallest and the largest value."""
    return f"{median(values):.3g} {unit} (from {min(values):.3g} to {max(values):.3g})"
