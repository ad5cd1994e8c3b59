"""Image files as the world has them, decoded by torchvision to uint8 RGB; every kind has a defined outcome.

    JPEG: grey             three equal channels
    JPEG: CMYK             converted to RGB
    JPEG: progressive      as any other
    JPEG or PNG with EXIF  pixels as stored, not turned: PRS's Pillow code did not turn them either
    PNG: palette           its colours
    PNG: alpha             the colours without it, no blending
    PNG: 16 bits           the upper byte of each value
    a wrong suffix         the first bytes say what a file is, its name does not
    truncated, empty, not a JPEG or PNG, more than `MAX_PIXELS` in its header: DataError

Decoding proves nothing about a file's integrity: most flipped bytes give other pixels and no error.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision.io  # noqa: F401  registers torch.ops.image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from clbench.errors import DataError

MAX_PIXELS = 178_956_970
"""Above this a header is taken for a decompression bomb and nothing is decoded: where Pillow gives up, too."""

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
RGB = 3
"""`torchvision.io.ImageReadMode.RGB`'s value."""

# Frame headers (ITU-T T.81, table B.1): C0-CF without DHT (C4), JPG (C8) and DAC (CC). D0-D9 and 01 have no length.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BARE = frozenset({0x01, *range(0xD0, 0xDA)})


def square(file: Path, size: int) -> Tensor:
    """An image as a square, its aspect not kept: uint8 (3, size, size). Raises DataError, see `decode`.

    Bicubic with antialiasing, as PRS's pinned Pillow did.
    """
    resized: Tensor = resize(decode(file), [size, size], InterpolationMode.BICUBIC, antialias=True)
    return resized


def decode(file: Path) -> Tensor:
    """A JPEG's or PNG's pixels: uint8 (3, height, width).

    Raises:
        DataError: the file cannot be read or decoded, see the module's table; the sentence names file and reason.
    """
    try:
        data = np.fromfile(file, np.uint8)
        return _decode(data)
    except (OSError, ValueError) as error:
        reason = str(error)
    except RuntimeError as error:  # torch's, of several lines
        reason = str(error).splitlines()[0]
    raise DataError(
        f"Expected {file} to be a readable JPEG or PNG image but got: {reason.rstrip('.')}. "
        "Restore the file, or leave it out with --allow-missing once it is deleted."
    )


def _decode(data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Tensor:
    """Raises ValueError and RuntimeError."""
    head = data[:8].tobytes()
    if not head:
        raise ValueError("an empty file")
    if not head.startswith((JPEG, PNG)):
        raise ValueError(f"a file that starts with {head!r}, neither JPEG nor PNG")
    height, width = jpeg_size(data.data) if head.startswith(JPEG) else png_size(data.data)
    if height * width > MAX_PIXELS:
        raise ValueError(f"a header of {width:,} x {height:,} pixels, more than {MAX_PIXELS:,} in all")
    # The operators behind torchvision.io's functions: the functions warn, since 0.29, that they will move to another
    # package, on every call and from every thread.
    decoder = torch.ops.image.decode_jpeg if head.startswith(JPEG) else torch.ops.image.decode_png
    image: Tensor = decoder(torch.from_numpy(data), RGB, False)
    return image if image.dtype == torch.uint8 else (image.to(torch.int32) >> 8).to(torch.uint8)


def png_size(data: memoryview) -> tuple[int, int]:
    """(height, width) of the IHDR chunk, which comes first. Raises ValueError."""
    if len(data) < 24 or data[12:16].tobytes() != b"IHDR":
        raise ValueError("a PNG without a header, cut off or damaged")
    return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])


def jpeg_size(data: memoryview) -> tuple[int, int]:
    """(height, width) of the first frame header. Raises ValueError."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in FRAMES:
            return int.from_bytes(data[place + 5 : place + 7]), int.from_bytes(data[place + 7 : place + 9])
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in BARE:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
    raise ValueError("a JPEG without a frame header, cut off or damaged")
