"""Where a run ran: versions, machine, git state; for env.json."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from clbench.checkout import git_state
from clbench.learning.world import world

PACKAGES = (
    "clbench",
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "pillow",
    "timm",
    "efficientnet_lite_pytorch",
    "avalanche-lib",
)


def record(device: torch.device) -> dict[str, Any]:
    """Everything about the machine and the software that may explain a number; JSON-ready."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git_state(Path(__file__).parent),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ranks": world().size,
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "decoder": f"torchvision {_version('torchvision')}",
    }


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory so far: the device's on CUDA, the process's resident set elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # POSIX only; Linux counts in KiB, macOS in bytes

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
