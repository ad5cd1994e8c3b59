import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data import cache
from clbench.data.images import FileImages
from clbench.errors import DataError
from clbench.files import OWN, sha256
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


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileImages, "read", lambda *_: pytest.fail("an image was decoded"))


def test_a_whole_cache_is_not_made_again_and_a_damaged_one_is(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    good = file.read_bytes()
    with monkeypatch.context() as patch:
        no_decoding(patch)
        assert cache.prepare(tmp_path, paths, 16, tmp_path / "cache") == file
    file.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
    cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    assert file.read_bytes() == good


def test_all_rows_are_kept_where_it_was_stopped_at_the_very_end(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_of = sha256

    def stop(path: Path) -> str:
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return hash_of(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache, "sha256", stop)
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    with monkeypatch.context() as patch:
        no_decoding(patch)
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    images = cache.open_cache(tmp_path, paths, 16, tmp_path / "cache")
    assert images is not None
    assert torch.equal(images.read(np.arange(7)), FileImages(tmp_path, paths, 16).read(np.arange(7)))


def test_caches_of_other_bytes_are_removed(tmp_path: Path, paths: list[str]) -> None:
    """Of every size, but not those of other lists; sizes of files do not show it."""
    own = tmp_path / OWN
    outdated = [cache.prepare(tmp_path, paths, size, own) for size in (16, 8)]
    others = cache.prepare(tmp_path, paths[:2], 16, own)
    sums = {path: sha256(tmp_path / path) for path in paths}
    assert cache.remove_outdated(tmp_path, paths, sums) == []
    changed = bytearray((tmp_path / paths[4]).read_bytes())
    changed[-10] ^= 1
    (tmp_path / paths[4]).write_bytes(changed)
    assert cache.open_cache(tmp_path, paths, 16, own) is not None  # it cannot tell
    sums[paths[4]] = sha256(tmp_path / paths[4])
    assert cache.remove_outdated(tmp_path, paths, sums) == sorted(outdated)
    assert {path.name for path in own.iterdir()} == {others.name, others.with_suffix(".json").name}


def test_a_full_disk_is_a_sentence_and_the_rows_before_it_are_kept(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CHUNK", 2)
    sync, calls = os.fsync, iter(range(100))

    def full(file: int) -> None:
        if next(calls) >= 6:  # three each: the rows, their note, its folder
            raise OSError(28, "No space left on device")
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"Expected to write the pixel cache .* but got: No space left on device"):
            cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    seen: list[int] = []
    cache.prepare(tmp_path, paths, 16, tmp_path / "cache", seen.append)
    assert seen == [6, 7]


def equal(folder: Path, paths: list[str]) -> bool:
    """Whether there is a whole cache, and it has the pixels of the files."""
    images = cache.open_cache(folder, paths, 16, folder / "cache")
    every = np.arange(len(paths))
    return images is not None and torch.equal(images.read(every), FileImages(folder, paths, 16).read(every))


def test_one_process_makes_a_cache_and_another_goes_on_when_it_was_killed(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would write into one file, and each cut what the other has written."""
    monkeypatch.setattr(cache, "CHUNK", 2)
    wait, ready = os.pipe()

    def pause(done: int) -> None:
        os.write(ready, b".")
        time.sleep(60)

    child = os.fork()
    if not child:
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache", pause)
        os._exit(0)
    os.read(wait, 1)
    with pytest.raises(DataError, match=rf"Expected to prepare the pixel cache .* alone but process {child} on"):
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen: list[int] = []
    cache.prepare(tmp_path, paths, 16, tmp_path / "cache", seen.append)
    assert seen == [4, 6, 7] and equal(tmp_path, paths)
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".pixels", ".json"}


@pytest.mark.parametrize("harm", ["zeros", "cut", "note"])
def test_a_block_that_is_not_as_its_sum_says_is_made_again(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr(cache, "CHUNK", 2)

    def stop(done: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache", stop)
    [part] = (tmp_path / "cache").glob("*.part")
    block, whole = 2 * 3 * 16 * 16, part.read_bytes()
    if harm == "zeros":
        part.write_bytes(whole[:block] + bytes(block) + whole[2 * block :])
    elif harm == "cut":
        part.write_bytes(whole[: 2 * block - 1])
    else:  # of a version that noted no sums
        note = json.loads(part.with_suffix(".part.json").read_text())
        part.with_suffix(".part.json").write_text(json.dumps({"about": note["about"], "done": 6}))
    seen: list[int] = []
    cache.prepare(tmp_path, paths, 16, tmp_path / "cache", seen.append)
    assert seen == ([2, 4, 6, 7] if harm == "note" else [4, 6, 7]) and equal(tmp_path, paths)


def test_a_disk_that_keeps_other_bytes_is_found_before_the_cache_counts(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def harm(done: int) -> None:
        [part] = (tmp_path / "cache").glob("*.part")
        part.write_bytes(bytes(part.stat().st_size))

    with pytest.raises(DataError, match="to be as it was written but it is not"):
        cache.prepare(tmp_path, paths, 16, tmp_path / "cache", harm)
    assert cache.open_cache(tmp_path, paths, 16, tmp_path / "cache") is None
    cache.prepare(tmp_path, paths, 16, tmp_path / "cache")
    assert equal(tmp_path, paths)
