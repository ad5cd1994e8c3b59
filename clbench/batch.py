"""What a strategy is shown at each step."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clbench.scenario import ImageSource, Samples


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples with their pixels, on the run's device.

    images: uint8 (B, 3, S, S) as stored; the model normalises them. With a frozen backbone its maps stand here instead,
        float16 (B, D, H, W); the model takes both.
    labels: float32 (B, C) in {0, 1}; C are the columns of the model's head, which may grow with the tasks.
    known: bool (B, C), False where the protocol hides the label; losses leave those entries out.
    samples: the same samples as the memory takes them, with all columns.
    """

    images: Tensor
    labels: Tensor
    known: Tensor
    samples: Samples

    def __len__(self) -> int:
        return len(self.images)

    def cut(self, width: int) -> "Batch":
        """The same images with their first `width` labels: those that a growing head has."""
        return replace(self, labels=self.labels[:, :width], known=self.known[:, :width])

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
