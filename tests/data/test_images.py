import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data import images as images_module
from clbench.data.images import ArrayImages, FileImages
from clbench.errors import DataError
from clbench.randomness import generator


def smooth(height: int, width: int, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture without hard edges, which every decoder shows alike."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    return (127 + 100 * np.sin(x / 9 + c) * np.cos(y / 7)).astype(np.uint8)


@pytest.mark.slow
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


def test_the_fingerprint_of_files_is_of_what_they_are_and_not_of_where_or_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy, under other names and with other times, is the same data; another file is not."""
    monkeypatch.setattr(images_module, "PROBES", 2)
    names = [f"{value}.png" for value in (10, 20, 30)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 50)

    def seen(folder: Path = tmp_path, *files: str) -> str:
        return FileImages(folder, files or names, 4).fingerprint

    first = seen()
    assert first.startswith("files, decoded and resized to 4 x 4, bicubic; 3 files of 900 bytes, sha256 of their sizes")
    shutil.copytree(tmp_path, tmp_path / "copy")
    os.utime(tmp_path / "copy" / names[0], (0, 0))
    (tmp_path / "copy" / names[1]).rename(tmp_path / "copy" / "other.png")
    assert seen(tmp_path / "copy", names[0], "other.png", names[2]) == first
    assert (
        len(
            {
                first,
                seen(tmp_path, *names[::-1]),
                seen(tmp_path, *names[:2]),
                FileImages(tmp_path, names, 5).fingerprint,
            }
        )
        == 4
    )
    (tmp_path / names[1]).write_bytes(b"x" * 300)
    assert seen() == first  # which the first and the last alone do not tell
    (tmp_path / names[1]).write_bytes(b"x" * 301)
    larger = seen()
    (tmp_path / names[2]).write_bytes(b"x" * 300)
    assert len({first, larger, seen()}) == 3


def test_the_newest_file_tells_when_some_were_written(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"x")
        os.utime(tmp_path / f"{number}.png", (number, number))
    assert FileImages(tmp_path, ["0.png", "2.png", "1.png"], 4).modified == "1970-01-01T00:00:02.000000+00:00"


def test_a_fingerprint_needs_the_files(tmp_path: Path) -> None:
    assert "0 files of 0 bytes" in FileImages(tmp_path, [], 4).fingerprint
    with pytest.raises(DataError, match=r"Expected to read .*none\.png but got: No such file or directory; restore it"):
        _ = FileImages(tmp_path, ["none.png"], 4).fingerprint
