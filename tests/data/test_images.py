from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data.images import ArrayImages, FileImages
from clbench.errors import DataError
from clbench.randomness import generator


def smooth(height: int, width: int, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture without hard edges, which every decoder shows alike."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    return (127 + 100 * np.sin(x / 9 + c) * np.cos(y / 7)).astype(np.uint8)


def test_files_are_resized_straight_to_a_square_as_pillow_does(tmp_path: Path) -> None:
    Image.fromarray(smooth(60, 90, 3)).save(tmp_path / "a.png")
    [got] = FileImages(tmp_path, ["a.png"], 32).read(np.array([0]))
    wanted = np.asarray(Image.open(tmp_path / "a.png").resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert got.dtype == torch.uint8 and got.shape == (3, 32, 32)
    assert np.abs(got.numpy().astype(int) - wanted).max() <= 1  # they round in another order


def test_a_grey_photograph_has_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(smooth(40, 40, 1)[:, :, 0]).save(tmp_path / "grey.jpg", quality=95)
    [got] = FileImages(tmp_path, ["grey.jpg"], 40).read(np.array([0]))
    assert torch.equal(got[0], got[1]) and torch.equal(got[1], got[2])
    assert np.abs(got[0].numpy().astype(int) - smooth(40, 40, 1)[:, :, 0]).max() < 16


def test_indices_say_which_files_and_in_which_order(tmp_path: Path) -> None:
    names = [f"{value}.png" for value in (10, 20, 30)]
    for name in names:
        Image.new("RGB", (5, 7), (int(name[:2]),) * 3).save(tmp_path / name)
    images = FileImages(tmp_path, names, 4)
    assert images.read(np.array([2, 0, 2]))[:, 0, 0, 0].tolist() == [30, 10, 30]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"Expected .*bad\.jpg to be a readable JPEG or PNG image but got: "):
        FileImages(tmp_path, ["bad.jpg"], 8).read(np.array([0]))


def test_arrays_are_read_by_index() -> None:
    pixels = generator(0, "pixels").integers(256, size=(5, 3, 4, 4), dtype=np.uint8)
    images = ArrayImages(pixels)
    assert images.size == 4
    assert np.array_equal(images.read(np.array([3, 3, 0])).numpy(), pixels[[3, 3, 0]])
    assert ArrayImages(pixels.copy()).fingerprint == images.fingerprint != ArrayImages(pixels + 1).fingerprint
    with pytest.raises(ValueError, match="expected uint8 images"):
        ArrayImages(pixels[:, :2])
