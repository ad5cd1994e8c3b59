from itertools import combinations

import numpy as np
from sklearn.datasets import load_digits

from clbench.data import digits
from clbench.data.digits import DIGIT, GRID, SCENE, SceneMaker
from clbench.randomness import generator


def test_a_scene_shows_the_inks_of_its_labels() -> None:
    # on a black background with opaque digits every coloured pixel is an ink's
    maker = SceneMaker(np.arange(200))
    maker._photos = [np.zeros((SCENE, SCENE, 3))]
    maker._alpha = np.ones_like(maker._alpha)
    scene = maker.draw(np.array([2, 5]), generator(0, "test"))  # 1 light, 2 dark
    colours, counts = np.unique(scene.reshape(3, -1).T, axis=0, return_counts=True)
    inks = {tuple(np.rint(np.array(ink) * 255).astype(int)): DIGIT * DIGIT for ink in digits.INKS.values()}
    found = {tuple(map(int, colour)): int(n) for colour, n in zip(colours, counts, strict=True)}
    assert found == inks | {(0, 0, 0): SCENE * SCENE - 2 * DIGIT * DIGIT}


def test_cells_do_not_overlap() -> None:
    starts = [{digits._corner(cell, generator(i, "corner")) for i in range(200)} for cell in range(GRID)]
    for one, other in combinations(starts, 2):
        assert max(one) + DIGIT <= min(other) or max(other) + DIGIT <= min(one)
    assert max(starts[-1]) + DIGIT <= SCENE


def test_upsampling_is_bilinear() -> None:
    raw = load_digits().images[:3] / 16.0
    doubled = digits._doubled(raw)
    assert doubled.shape == (3, 16, 16)
    # interpolation by hand at the pixel centres: output pixel i lies at (i + 0.5) / 2 - 0.5 of the input
    at = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    low = np.floor(at).astype(int)
    high, weight = np.minimum(low + 1, 7), at - low
    rows = raw[:, low] * (1 - weight)[:, None] + raw[:, high] * weight[:, None]
    expected = rows[:, :, low] * (1 - weight) + rows[:, :, high] * weight
    np.testing.assert_allclose(doubled, expected, atol=1e-12)
