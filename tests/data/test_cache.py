from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data import cache
from clbench.data.images import FileImages
from clbench.errors import DataError
from clbench.files import OWN
from clbench.randomness import generator


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    names = [f"{number}.jpg" for number in range(7)]
    for name in names:
        pixels = generator(0, name).integers(256, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return names


def test_a_cache_gives_the_bits_that_decoding_gives(tmp_path: Path, paths: list[str]) -> None:
    folder = tmp_path / "cache"
    assert cache.open_cache(tmp_path, paths, 16, folder) is None
    cache.prepare(tmp_path, paths, 16, folder)
    images, files = cache.open_cache(tmp_path, paths, 16, folder), FileImages(tmp_path, paths, 16)
    assert images is not None and images.size == 16 and images.fingerprint != files.fingerprint
    order = np.array([6, 0, 3, 3])
    assert torch.equal(images.read(order), files.read(order))


def test_the_files_are_read_where_there_is_no_cache(tmp_path: Path, paths: list[str]) -> None:
    assert isinstance(cache.open_images(tmp_path, paths, 16), FileImages)
    cache.prepare(tmp_path, paths, 16, tmp_path / OWN)
    assert isinstance(cache.open_images(tmp_path, paths, 16), cache.CachedImages)
    assert isinstance(cache.open_images(tmp_path, paths, 17), FileImages)


def test_a_stopped_attempt_keeps_its_rows(tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK", 2)
    folder = tmp_path / "cache"
    seen: list[int] = []

    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.prepare(tmp_path, paths, 16, folder, stop)
    assert cache.open_cache(tmp_path, paths, 16, folder) is None
    cache.prepare(tmp_path, paths, 16, folder, seen.append)
    assert seen == [6, 7]  # four rows were kept
    images = cache.open_cache(tmp_path, paths, 16, folder)
    assert images is not None
    assert torch.equal(images.read(np.arange(7)), FileImages(tmp_path, paths, 16).read(np.arange(7)))


@pytest.mark.parametrize("harm", ["source", "short", "sidecar", "list"])
def test_a_cache_that_no_longer_fits_is_not_used(tmp_path: Path, paths: list[str], harm: str) -> None:
    file = cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    if harm == "source":
        (tmp_path / paths[2]).write_bytes(b"other")
    elif harm == "short":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "sidecar":
        file.with_suffix(".json").write_text("[1")
    wanted = paths[::-1] if harm == "list" else paths
    assert cache.open_cache(tmp_path, wanted, 16, tmp_path / "cache") is None


def test_too_little_space_and_missing_images_are_said(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="Expected to read every image"):
        cache.prepare(tmp_path, [*paths, "none.jpg"], 16, tmp_path / "cache")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match="bytes of free space"):
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
