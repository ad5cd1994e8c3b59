"""What a strategy is shown at each step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clbench.scenario import ImageSource


@dataclass(frozen=True, eq=False)
class Samples:
    """Which samples, and their labels as the protocol shows them; on the CPU, without pixels.

    indices: (B,) int64 dataset indices; labels: (B, C) uint8 in {0, 1}; known: (B, C) bool.
    """

    indices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]
    known: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples with their pixels, on the run's device.

    images: uint8 (B, 3, S, S) as stored; the model normalises them. With a frozen backbone its maps stand here instead,
        float16 (B, D, H, W); the model takes both.
    labels: float32 (B, C) in {0, 1}.
    known: bool (B, C), False where the protocol hides the label; losses leave those entries out.
    samples: the same samples as the memory takes them.
    """

    images: Tensor
    labels: Tensor
    known: Tensor
    samples: Samples

    def __len__(self) -> int:
        return len(self.images)

    def join(self, other: "Batch | None") -> "Batch":
        """Both batches as one; `None` (an empty memory) leaves this one as it is."""
        if other is None:
            return self
        pairs = ((getattr(self.samples, name), getattr(other.samples, name)) for name in ("indices", "labels", "known"))
        return Batch(
            torch.cat([self.images, other.images]),
            torch.cat([self.labels, other.labels]),
            torch.cat([self.known, other.known]),
            Samples(*(np.concatenate(pair) for pair in pairs)),
        )


Loader = Callable[[Samples], Batch]
"""Reads the pixels of samples and puts everything on the device."""


def loader(images: ImageSource, device: torch.device) -> Loader:
    """A loader from an image source; on CUDA through pinned memory, so that copies overlap with the running step."""

    def on_device(tensor: Tensor) -> Tensor:
        if device.type == "cuda":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    def load(samples: Samples) -> Batch:
        return Batch(
            on_device(images.read(samples.indices)),
            on_device(torch.from_numpy(samples.labels.astype(np.float32))),
            on_device(torch.tensor(samples.known)),
            samples,
        )

    return load
