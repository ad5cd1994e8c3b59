"""The arrays that clbench passes around, by what they hold; shapes stand in each docstring."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""Dataset indices, rows, columns, counts."""
LabelArray = npt.NDArray[np.uint8]
"""Labels in {0, 1}."""
BoolArray = npt.NDArray[np.bool_]
"""Masks."""
FloatArray = npt.NDArray[np.float64]
"""Metrics, weights, probabilities."""
ScoreArray = npt.NDArray[np.float32]
"""Logits as they are saved."""
