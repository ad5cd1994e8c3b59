"""Where a head with label queries looks: maps of a few labels over test images, recorded at the end of a run."""

from typing import Any

import numpy as np
import torch

from clbench.arrays import IntArray
from clbench.learning.strategy import Strategy
from clbench.scenario.tasks import Scenario

PAIRS = 6
"""Pairs of a label and an image."""
PIXELS = 96
"""Largest side of a recorded picture."""


def choose(scenario: Scenario) -> tuple[IntArray, IntArray]:
    """Classes evenly over the head's columns, and for each the first test image that shows it beside the fewest others.

    Classes (k,) and dataset indices (k,), int64; k is at most `PAIRS`.
    """
    test = scenario.test_indices()
    labels = scenario.tested(test)
    shown = np.flatnonzero(labels.any(axis=0))
    classes = shown[np.unique(np.linspace(0, len(shown) - 1, PAIRS).round().astype(np.int64))]
    crowd = labels.sum(axis=1)
    rows = [int(np.argmin(np.where(labels[:, each] == 1, crowd, np.iinfo(np.int64).max))) for each in classes]
    return classes.astype(np.int64), test[rows]


@torch.inference_mode()
def attention_maps(scenario: Scenario, strategy: Strategy) -> dict[str, np.ndarray[Any, Any]] | None:
    """None for a head without label queries; else arrays:

    classes, images: (k,) int64, columns and dataset indices. pixels: (k, 3, s, s) uint8, s at most `PIXELS`.
    maps: (k, h, w) float16, mean over attention heads, sums to 1.
    """
    from torchvision.transforms.v2.functional import resize  # late: it takes seconds

    model = strategy.model
    classes, images = choose(scenario)
    pixels = scenario.images.read(images)
    model.eval()
    attention = model.head.attention(model.feature_map(pixels.to(strategy.device)))
    if attention is None:
        return None
    own = attention[torch.arange(len(classes)), torch.from_numpy(classes)]
    side = min(PIXELS, pixels.shape[-1])
    return {
        "classes": classes,
        "images": images,
        "pixels": resize(pixels, [side, side], antialias=True).numpy(),
        "maps": own.half().cpu().numpy(),
    }
