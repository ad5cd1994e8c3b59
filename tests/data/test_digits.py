from itertools import combinations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images
from sklearn.neighbors import KNeighborsClassifier

from clbench.arrays import FloatArray, IntArray
from clbench.data import digits
from clbench.data.digits import DIGIT, GRID, SCENE, SceneMaker, makers
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
    assert starts == [{24 * cell + jitter for jitter in range(9)} for cell in range(2)]


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


def test_labels_are_ten_digits_in_two_inks() -> None:
    assert len(digits.CLASSES) == 20 and digits.CLASSES[:3] == ("0 light", "0 dark", "1 light")
    assert digits.CLASSES[-1] == "9 dark" and digits.TRAIN_DIGITS == 1300
    assert (SCENE, GRID) == (48, 2)


def placed(maker: SceneMaker, column: int, seed: int) -> FloatArray:
    """How opaque the one digit of a scene is at each pixel (SCENE, SCENE), from its ink on black."""
    maker._photos = [np.zeros((SCENE, SCENE, 3))]
    scene = maker.draw(np.array([column]), generator(seed, "test"))
    ink = list(digits.INKS.values())[column % 2]
    channel = int(np.argmax(ink))
    opaque: FloatArray = scene[channel] / (255 * ink[channel])
    return opaque


@pytest.mark.parametrize("column", range(len(digits.CLASSES)))
def test_the_digit_is_a_given_one_of_the_labels_value(column: int) -> None:
    source, rows = load_digits(), np.arange(500, 700)
    maker = SceneMaker(rows)
    for seed in range(3):
        shown = placed(maker, column, seed)
        where, size = _edges(shown)
        assert max(size) <= DIGIT
        # of all digits that scikit-learn has, those that look like it, wherever their empty border ends
        alike = [
            row
            for row, image in enumerate(digits._doubled(source.images / 16.0))
            if (edges := _edges(image))[1] == size and np.abs(image[edges[0]] - shown[where]).max() < 0.02
        ]
        assert {source.target[row] for row in alike} == {column // 2} and set(alike) & set(rows.tolist())


def _edges(image: FloatArray) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Where a digit has ink, and how large that is."""
    marked = np.argwhere(image > 1.5 / 256)  # the faintest that there is, 1 / 256, may be lost in an ink's rounding
    (top, left), (bottom, right) = marked.min(axis=0), marked.max(axis=0)
    return np.s_[top : bottom + 1, left : right + 1], (int(bottom - top + 1), int(right - left + 1))


def test_ink_covers_the_photograph_as_far_as_it_is_opaque() -> None:
    maker = SceneMaker(np.arange(200))
    maker._photos = [np.full((SCENE, SCENE, 3), 0.4)]
    maker._alpha = np.full_like(maker._alpha, 0.25)
    scene = maker.draw(np.array([0]), generator(0, "test"))
    mixed = np.rint(255 * (0.75 * 0.4 + 0.25 * np.array(digits.INKS["light"]))).astype(int)
    assert np.unique(scene.reshape(3, -1).T, axis=0).tolist() == [[102, 102, 102], mixed.tolist()]
    assert scene.dtype == np.uint8 and scene.shape == (3, SCENE, SCENE)


def test_four_labels_have_a_cell_each_and_one_may_stand_in_any() -> None:
    maker = SceneMaker(np.arange(200))
    maker._photos = [np.zeros((SCENE, SCENE, 3))]
    maker._alpha = np.ones_like(maker._alpha)
    full = maker.draw(np.arange(0, 8, 2), generator(0, "test"))
    assert int(full.any(axis=0).sum()) == 4 * DIGIT * DIGIT
    corners = {tuple(np.argwhere(maker.draw(np.array([4]), generator(i, "test"))[0]).min(axis=0)) for i in range(300)}
    assert {(int(top) // 24, int(left) // 24) for top, left in corners} == {(y, x) for y in range(2) for x in range(2)}


def test_backgrounds_are_crops_of_both_photographs_with_less_contrast() -> None:
    maker = SceneMaker(np.arange(200))
    photographs = [np.rint(255 * (0.4 + 0.2 * (photo / 255.0))) for photo in load_sample_images().images]
    used = set()
    for seed in range(8):
        scene = maker.draw(np.array([], np.int64), generator(seed, "test")).transpose(1, 2, 0)
        for number, photo in enumerate(photographs):
            starts = np.argwhere((photo[: -SCENE + 1, : -SCENE + 1] == scene[0, 0]).all(axis=2))
            if any(np.array_equal(photo[y : y + SCENE, x : x + SCENE], scene) for y, x in starts):
                used.add(number)
                break
        else:
            pytest.fail("the background is no crop of a photograph")
    assert used == {0, 1}


def test_a_crop_may_reach_the_edges_and_no_further() -> None:
    maker = SceneMaker(np.arange(200))
    rows, columns = np.arange(SCENE + 1)[:, None, None], np.arange(SCENE + 2)[None, :, None]
    maker._photos = [
        np.broadcast_to((100 * (rows == 0) + 10 * (columns == 0) + columns) / 255, (SCENE + 1, SCENE + 2, 3))
    ]
    nothing = np.array([], np.int64)
    scenes = [maker.draw(nothing, generator(i, "test")) for i in range(100)]
    assert {scene.shape for scene in scenes} == {(3, SCENE, SCENE)}
    starts = {tuple(scene[0, 0, :2].tolist()) for scene in scenes}
    # the first two pixels tell where a crop begins: above or below the first row, at one of three columns
    assert starts == {(110, 101), (101, 102), (102, 103), (10, 1), (1, 2), (2, 3)}


def test_the_parts_share_no_digit_and_no_pixel() -> None:
    parts = makers()
    for value in range(10):
        drawn = [parts[name]._alpha[parts[name]._by_value[value]] for name in ("train", "test")]
        assert min(map(len, drawn)) > 40
    sizes = [len(parts[name]._alpha) for name in ("train", "test")]
    doubled = digits._doubled(load_digits().images / 16.0)
    assert sizes == [1300, 497]
    np.testing.assert_array_equal(np.concatenate([parts["train"]._alpha, parts["test"]._alpha]), doubled)
    for number, photo in enumerate(load_sample_images().images):
        left, right = (parts[name]._photos[number] for name in ("train", "test"))
        np.testing.assert_allclose(np.concatenate([left, right], axis=1), 0.4 + 0.2 * (photo / 255.0))
        assert min(left.shape[1], right.shape[1]) > 2 * SCENE


def test_neighbours_in_the_file_are_alike() -> None:
    # why the file is cut and not shuffled: a test digit is told worse by training digits that it did not stand among
    pixels, values = load_digits(return_X_y=True)

    def told(train: IntArray, test: IntArray) -> float:
        nearest = KNeighborsClassifier(1).fit(pixels[train], values[train])
        return float(nearest.score(pixels[test], values[test]))

    rows = np.arange(len(values))
    cut = told(rows[: digits.TRAIN_DIGITS], rows[digits.TRAIN_DIGITS :])
    draws = [generator(i, "shuffled").permutation(rows) for i in range(20)]
    shuffled = np.mean([told(draw[: digits.TRAIN_DIGITS], draw[digits.TRAIN_DIGITS :]) for draw in draws])
    assert (round(100 * cut, 1), round(100 * float(shuffled), 1)) == (96.0, 98.7)
