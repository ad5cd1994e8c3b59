"""A maker of scenes without anything on them, to see which maker has drawn what."""

import numpy as np
import numpy.typing as npt

from clbench.arrays import IntArray
from clbench.data.digits import SceneMaker, makers


class BlankMaker(SceneMaker):
    """Draws as the other does, and then nothing but zeros."""

    def draw(self, labels: IntArray, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        return np.zeros_like(super().draw(labels, rng))


def makers_blank_in(part: str) -> dict[str, SceneMaker]:
    """`clbench.data.digits.makers`, with a blank one for this part."""
    return makers() | {part: BlankMaker(np.arange(200))}
