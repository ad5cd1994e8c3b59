import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data.decode import decode
from clbench.errors import DataError


def picture(mode: str = "RGB") -> Image.Image:
    """Smooth colours, other along each side, so that a turn or a swap of channels shows."""
    y, x, c = np.meshgrid(np.arange(48), np.arange(80), np.arange(3), indexing="ij")
    return Image.fromarray((127 + 100 * np.sin(x / 19 + c) * np.cos(y / 17)).astype(np.uint8)).convert(mode)


def by_pillow(file: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("RGB", "plain.jpg", {}),
        ("L", "grey.jpg", {}),
        ("CMYK", "cmyk.jpg", {}),
        ("RGB", "progressive.jpg", {"progressive": True}),
        ("RGB", "plain.png", {}),
        ("L", "grey.png", {}),
        ("P", "palette.png", {}),
        ("1", "bits.png", {}),
        ("RGBA", "alpha.png", {}),
        ("LA", "grey-alpha.png", {}),
        ("RGB", "a-png-named.jpg", {"format": "PNG"}),
        ("RGB", "a-jpeg-named.png", {"format": "JPEG"}),
    ],
)
def test_odd_files_show_what_pillow_shows(tmp_path: Path, mode: str, name: str, options: dict[str, Any]) -> None:
    picture(mode).save(tmp_path / name, **options)
    got = decode(tmp_path / name)
    assert got.dtype == torch.uint8 and got.shape == (3, 48, 80)
    assert np.abs(got.numpy().astype(int) - by_pillow(tmp_path / name)).max() <= 1


def test_exif_does_not_turn_an_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    picture().save(tmp_path / "turned.jpg", exif=exif)
    picture().save(tmp_path / "plain.jpg")
    assert torch.equal(decode(tmp_path / "turned.jpg"), decode(tmp_path / "plain.jpg"))


def test_sixteen_bits_give_their_upper_byte(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 48 * 80).astype(np.uint16).reshape(48, 80)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.array_equal(decode(tmp_path / "deep.png").numpy(), np.stack([(values >> 8).astype(np.uint8)] * 3))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("part", [0.99, 0.9, 0.5, 0.1])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, part: float) -> None:
    file = tmp_path / f"cut.{suffix}"
    picture().save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=rf"Expected .*cut\.{suffix} to be a readable JPEG or PNG image but got: "):
        decode(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"GIF89a--", "neither JPEG nor PNG"),
        (b"\xff\xd8\xff", "a JPEG without a frame header"),
        (b"\xff\xd8" + b"\xff" * 50, "a JPEG without a frame header"),
        (b"\x89PNG\r\n\x1a\n", "a PNG without a header"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        decode(tmp_path / "bad.jpg")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("none.jpg", "."):
        with pytest.raises(DataError, match="Expected .* to be a readable"):
            decode(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"bomb.{suffix}"
    picture().save(file)
    data = bytearray(file.read_bytes())
    if suffix == "png":
        data[16:24] = struct.pack(">II", 30_000, 30_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", 30_000, 30_000)
    file.write_bytes(data)
    monkeypatch.setattr(torch, "from_numpy", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match="a header of 30,000 x 30,000 pixels"):
        decode(file)
