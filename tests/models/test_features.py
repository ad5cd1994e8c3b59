import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.arrays import IntArray
from clbench.data.images import ArrayImages
from clbench.errors import DataError, UsageError
from clbench.models import ModelOptions, features
from clbench.models.features import BLOCK, FeatureSource
from clbench.models.network import Network, build_model
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.tasks import Scenario

CPU = torch.device("cpu")
N = 2 * BLOCK + 5


@pytest.fixture
def scenario() -> Scenario:
    """Two whole blocks and a part of one."""
    pixels = np.random.default_rng(0).integers(256, size=(N, 3, 16, 16), dtype=np.uint8)
    debug = build_scenario(resolve("debug", "er"))
    labels = np.zeros((N, debug.num_classes), np.uint8)
    return replace(debug, ids=tuple(range(N)), labels=labels, images=ArrayImages(pixels))


@pytest.fixture
def network() -> Network:
    return build_model(ModelOptions(backbone="small", freeze="backbone"), 6, seed=0)


class Counting:
    """An image source that remembers what was asked for."""

    def __init__(self, images: ArrayImages) -> None:
        self.images, self.asked = images, list[list[int]]()
        self.size, self.fingerprint, self.decodes, self.paths = images.size, images.fingerprint, False, ()

    def read(self, indices: IntArray) -> torch.Tensor:
        self.asked.append(indices.tolist())
        return self.images.read(indices)


def counted(scenario: Scenario) -> tuple[Scenario, Counting]:
    images = scenario.images
    assert isinstance(images, ArrayImages)
    counting = Counting(images)
    return replace(scenario, images=counting), counting


def blocks(counting: Counting) -> list[int]:
    """First indices of the blocks that were read; probes and the trial for the shape are no blocks."""
    return [
        rows[0] for rows in counting.asked if rows == list(range(rows[0], min(rows[0] + BLOCK, N))) and len(rows) > 1
    ]


@pytest.mark.parametrize("on_disk", [True, False])
def test_maps_are_the_backbones(scenario: Scenario, network: Network, tmp_path: Path, on_disk: bool) -> None:
    source = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path if on_disk else None)
    rows = np.array([N - 1, 0, 40, 0])
    maps = source.read(rows)
    assert maps.dtype == torch.float16
    with torch.inference_mode():
        expected = network.feature_map(scenario.images.read(rows))
        torch.testing.assert_close(maps.float(), expected, rtol=1e-3, atol=1e-3)
        logits = network.train()(maps)
        torch.testing.assert_close(logits, network(scenario.images.read(rows)), rtol=1e-3, atol=1e-3)


def test_the_bits_do_not_depend_on_what_was_computed_before(
    scenario: Scenario, network: Network, tmp_path: Path
) -> None:
    row, every = np.array([40]), np.arange(N)
    alone = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path / "a").read(row)
    after = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path / "b")
    after.read(every[::-1].copy())
    assert torch.equal(after.read(row), alone)
    assert torch.equal(FeatureSource(scenario.images, scenario.ids, network, CPU).read(row), alone)


def test_maps_are_computed_once_and_only_the_blocks_that_are_needed(
    scenario: Scenario, network: Network, tmp_path: Path
) -> None:
    first, asked = counted(scenario)
    FeatureSource(first.images, first.ids, network, CPU, tmp_path).prepare(np.array([3, 5, N - 1]))
    assert blocks(asked) == [0, 2 * BLOCK]
    again, asked = counted(scenario)
    source = FeatureSource(again.images, again.ids, network, CPU, tmp_path)
    source.prepare(np.arange(N))
    assert blocks(asked) == [BLOCK]
    assert torch.equal(
        source.read(np.arange(N)), FeatureSource(scenario.images, scenario.ids, network, CPU).read(np.arange(N))
    )
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_damaged_block_and_lost_checks_are_computed_again(
    scenario: Scenario, network: Network, tmp_path: Path
) -> None:
    every = np.arange(N)
    good = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path).read(every).clone()
    [folder] = tmp_path.iterdir()
    data = bytearray((folder / "maps.f16").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "maps.f16").write_bytes(data)
    damaged, asked = counted(scenario)
    assert torch.equal(FeatureSource(damaged.images, damaged.ids, network, CPU, tmp_path).read(every), good)
    assert blocks(asked) == [BLOCK]
    for rubbish in (b"", b"rubbish", (folder / "checks.npy").read_bytes()[:-8]):
        (folder / "checks.npy").write_bytes(rubbish)
        lost, asked = counted(scenario)
        assert torch.equal(FeatureSource(lost.images, lost.ids, network, CPU, tmp_path).read(every), good)
        assert blocks(asked) == [0, BLOCK, 2 * BLOCK]


def test_what_is_stopped_goes_on_from_there(
    scenario: Scenario, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SAVE_EVERY", 0.0)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path).prepare(np.arange(N), stop)
    rest, asked = counted(scenario)
    FeatureSource(rest.images, rest.ids, network, CPU, tmp_path).prepare(np.arange(N))
    assert blocks(asked) == [BLOCK, 2 * BLOCK]  # the second was computed but not saved


def test_other_weights_images_ids_or_threads_have_maps_of_their_own(scenario: Scenario, network: Network) -> None:
    base = FeatureSource(scenario.images, scenario.ids, network, CPU).fingerprint
    other = build_model(ModelOptions(backbone="small", freeze="backbone"), 6, seed=1)
    flipped = ArrayImages(scenario.images.read(np.arange(N)).flip(3).numpy().copy())
    prints = [
        base,
        FeatureSource(scenario.images, scenario.ids, other, CPU).fingerprint,
        FeatureSource(flipped, scenario.ids, network, CPU).fingerprint,
        FeatureSource(scenario.images, tuple(range(1, N + 1)), network, CPU).fingerprint,
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    prints.append(FeatureSource(scenario.images, scenario.ids, network, CPU).fingerprint)
    torch.set_num_threads(before)
    assert len(set(prints)) == len(prints)
    with torch.no_grad():
        network.head.classifier.bias.add_(1)
    assert FeatureSource(scenario.images, scenario.ids, network, CPU).fingerprint == base


@pytest.mark.slow
def test_the_least_recently_used_maps_make_room(
    scenario: Scenario, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = N * 96 * 2 * 2 * 2
    monkeypatch.setenv("CLBENCH_FEATURE_CACHE_GB", str(2.5 * size / 1e9))

    def names() -> set[str]:
        return {folder.name for folder in tmp_path.iterdir()}

    def use(seed: int, time: int) -> None:
        other = build_model(ModelOptions(backbone="small", freeze="backbone"), 6, seed=seed)
        before = names()
        FeatureSource(scenario.images, scenario.ids, other, CPU, tmp_path).prepare(np.arange(N))
        for new in names() - before:
            os.utime(tmp_path / new, (time, time))

    use(1, 10)
    [first] = names()
    use(2, 20)
    [second] = names() - {first}
    os.utime(tmp_path / first, (30, 30))  # used again
    use(3, 40)
    assert len(names()) == 2 and first in names() and second not in names()


def test_maps_beyond_the_limit_and_a_bad_limit_are_sentences(
    scenario: Scenario, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLBENCH_FEATURE_CACHE_GB", "0.00001")
    with pytest.raises(DataError, match="CLBENCH_FEATURE_CACHE_GB"):
        FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path)
    monkeypatch.setenv("CLBENCH_FEATURE_CACHE_GB", "much")
    with pytest.raises(UsageError, match="number of gigabytes but got 'much'"):
        FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path)


def test_maps_that_float16_cannot_hold_are_refused(scenario: Scenario, network: Network) -> None:
    with torch.no_grad():
        network.backbone.get_parameter("bn4.weight").fill_(1e8)
    with pytest.raises(DataError, match="within float16's range"):
        FeatureSource(scenario.images, scenario.ids, network, CPU).read(np.arange(N))


def test_maps_have_room_on_the_disk_before_they_are_written(
    scenario: Scenario, network: Network, tmp_path: Path
) -> None:
    """A file with holes is filled, also one that is there; what it holds stays."""
    every = np.arange(N)
    good = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path).read(every).clone()
    [folder] = tmp_path.iterdir()
    file = folder / "maps.f16"
    assert file.stat().st_blocks * 512 >= file.stat().st_size
    data = file.read_bytes()
    file.unlink()
    with open(file, "wb") as sparse:
        sparse.write(data[:100])
        sparse.truncate(len(data))
    assert file.stat().st_blocks * 512 < len(data)
    again = FeatureSource(scenario.images, scenario.ids, network, CPU, tmp_path)
    assert file.stat().st_blocks * 512 >= len(data) and file.read_bytes()[:100] == data[:100]
    assert torch.equal(again.read(every), good)


@pytest.mark.parametrize("there", [None, 100, 10**6])
def test_no_room_is_a_sentence_and_leaves_what_was_there(
    tmp_path: Path, there: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    file = tmp_path / "set" / "maps.f16"
    file.parent.mkdir()
    if there is not None:
        with open(file, "wb") as sparse:
            sparse.truncate(there)
    with pytest.raises(
        DataError, match="Expected 0.0 GB for feature maps in .* but got: No space left on device; make"
    ):
        features.allocate(file, 10**6)
    assert (file.stat().st_size if file.exists() else None) == there


@pytest.mark.parametrize("there", [0, 70, 200])
def test_without_the_systems_allocation_bytes_are_written(
    tmp_path: Path, there: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(features, "PIECE", 8)
    (tmp_path / "maps.f16").write_bytes(b"x" * there)
    features.allocate(tmp_path / "maps.f16", 100)
    assert (tmp_path / "maps.f16").read_bytes() == (b"x" * there)[:100].ljust(100, b"\0")
