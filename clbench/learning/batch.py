"""What a strategy is shown at each step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clbench.scenario.samples import Samples


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


Values = Mapping[str, float | Tensor]
"""Name -> scalar, as `observe` returns it. Tensors may stay on the device; the trainer reads them in bulk."""
