"""Scenes of handwritten digits on photographs, made from what scikit-learn ships.

A scene is a square crop of one of scikit-learn's two sample photographs with one to four digits in a light or a dark
ink, each in its own cell of a 2 x 2 grid. Digits: "Optical Recognition of Handwritten Digits", E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998 (`sklearn.datasets.load_digits`, 1,797 images of 8 x 8 px).
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.arrays import FloatArray, IntArray, LabelArray

SCENE = 48
"""Edge of a scene in pixels."""
DIGIT = 16
"""Edge of a drawn digit in pixels: the 8 x 8 px original, doubled."""
GRID = 2
"""Cells along each edge; 4 cells hold up to 4 objects."""

INKS = {"light": (0.95, 0.85, 0.2), "dark": (0.05, 0.1, 0.5)}
"""Name -> RGB in 0 to 1, in the order of the label columns."""
COLOURS = np.array(list(INKS.values()))
CLASSES = tuple(f"{value} {ink}" for value in range(10) for ink in INKS)
"""The 20 labels: column = 2 x digit + (0 light, 1 dark)."""
TRAIN_DIGITS = 1300
"""Of the 1,797 digits, the first in the file; the other 497 are drawn in test scenes only.

Who wrote a digit is not told. But neighbours in the file are alike: of the last 497 digits the nearest of the others
tells 96.0 %, of 497 drawn at random 98.7 % (mean of 20 draws). So the file is cut, not shuffled.
"""
TRAIN_WIDTH = 0.7
"""Left part of each photograph that training scenes are cropped from; test scenes are cropped from the rest."""
CONTRAST = (0.4, 0.2)
"""Offset and scale of the photographs, so that both inks stand out: values from 0.4 to 0.6."""


class SceneMaker:
    """Draws scenes with given labels.

    digits: rows of `load_digits` that may be drawn. across: where in the width of a photograph its crops lie, from and
    to, as fractions.
    """

    def __init__(self, digits: IntArray, across: tuple[float, float] = (0, 1)) -> None:
        raw, photos = _source()
        images = raw.images[digits] / 16.0  # 0 to 16 in the source
        self._alpha = _doubled(images)
        self._by_value = [np.flatnonzero(raw.target[digits] == value) for value in range(10)]
        self._photos = [
            CONTRAST[0] + CONTRAST[1] * (photo[:, slice(*(round(x * photo.shape[1]) for x in across))] / 255.0)
            for photo in photos
        ]

    def draw(self, labels: IntArray, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """One scene, uint8 (3, SCENE, SCENE), that shows each label column of `labels` (k,) once."""
        scene = self._background(rng)
        cells = rng.permutation(GRID * GRID)[: len(labels)]
        for column, cell in zip(labels.tolist(), cells.tolist(), strict=True):
            value, ink = divmod(column, len(INKS))
            digits = self._by_value[value]
            alpha = self._alpha[digits[rng.integers(len(digits))]]  # two fifths of the time that rng.choice takes
            top, left = _corner(cell // GRID, rng), _corner(cell % GRID, rng)
            window = scene[top : top + DIGIT, left : left + DIGIT]
            window += alpha[..., None] * (COLOURS[ink] - window)
        return np.ascontiguousarray(np.rint(scene * 255).astype(np.uint8).transpose(2, 0, 1))

    def _background(self, rng: np.random.Generator) -> FloatArray:
        photo = self._photos[rng.integers(len(self._photos))]
        top = rng.integers(photo.shape[0] - SCENE + 1)
        left = rng.integers(photo.shape[1] - SCENE + 1)
        crop: FloatArray = photo[top : top + SCENE, left : left + SCENE].copy()
        return crop


def label_row(columns: IntArray) -> LabelArray:
    """The labels of a scene that shows these columns, uint8 (C,)."""
    row = np.zeros(len(CLASSES), np.uint8)
    row[columns] = 1
    return row


def makers() -> dict[str, SceneMaker]:
    """Those of the parts, train and test: they share no digit and no pixel of a photograph."""
    rows = np.arange(len(_source()[0].target))
    return {
        "train": SceneMaker(rows[:TRAIN_DIGITS], (0, TRAIN_WIDTH)),
        "test": SceneMaker(rows[TRAIN_DIGITS:], (TRAIN_WIDTH, 1)),
    }


@cache
def _source() -> tuple[Any, Any]:
    """All digits and the photographs, read once: both makers take theirs from them."""
    from sklearn.datasets import load_digits, load_sample_images  # late: they take a second and a half to import

    return load_digits(), load_sample_images().images


def _corner(cell: int, rng: np.random.Generator) -> int:
    """Where a digit starts within its row or column of cells (24 px wide): up to 8 px of jitter."""
    pitch = SCENE // GRID
    return cell * pitch + int(rng.integers(pitch - DIGIT + 1))


def _doubled(images: FloatArray) -> FloatArray:
    """Bilinear upsampling by two of (n, 8, 8), edges held: output pixels lie a quarter pixel off the input's."""

    def along(axis: int, a: FloatArray) -> FloatArray:
        first, last = np.take(a, [0], axis), np.take(a, [-1], axis)
        size = a.shape[axis]
        before = np.concatenate([first, np.take(a, range(size - 1), axis)], axis)
        after = np.concatenate([np.take(a, range(1, size), axis), last], axis)
        pair: Any = np.stack([0.75 * a + 0.25 * before, 0.75 * a + 0.25 * after], axis + 1)
        shape = list(a.shape)
        shape[axis] *= 2
        doubled: FloatArray = pair.reshape(shape)
        return doubled

    return along(2, along(1, images))
