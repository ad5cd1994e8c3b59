"""A disk that is really full: a small tmpfs in a mount namespace of its own."""

import ctypes
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from forked import CPU, go, in_child, outcome, prepare, reference

from clbench.data.images import ArrayImages
from clbench.errors import DataError
from clbench.models import ModelOptions, features
from clbench.models.network import build_model

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, size: int) -> None:
    """A tmpfs of `size` bytes on a folder, or another size for the one there. Raises OSError."""
    again = 32 if os.path.ismount(folder) else 0  # MS_REMOUNT
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", again, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder, 2**22)
    except OSError:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    libc.umount2(str(folder).encode(), 2)  # MNT_DETACH


def test_a_disk_that_fills_under_the_maps_of_a_frozen_backbone(disk: Path) -> None:
    """By another program, once it was seen to be free: an error, where the kernel would end the process (SIGBUS)."""
    images = ArrayImages(np.zeros((2000, 3, 16, 16), np.uint8))
    network = build_model(ModelOptions(backbone="small", freeze="backbone"), 6, seed=0)
    make_room = features.make_room

    def late(folder: Path, size: int) -> None:
        make_room(folder, size)
        (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free - size // 2))

    def compute() -> None:
        features.FeatureSource(images, range(2000), network, CPU, disk / "maps").prepare(np.arange(2000))

    def compute_on_a_full_disk() -> None:
        features.make_room = late
        with pytest.raises(DataError, match="for feature maps in .* but got: No space left on device"):
            compute()

    for _ in range(2):  # at the same command again, too
        assert in_child(compute_on_a_full_disk) == 0
        (disk / "other").unlink()
    assert in_child(compute) == 0


@pytest.mark.slow
def test_a_full_disk_is_recorded_and_the_run_goes_on_once_there_is_room(disk: Path, tmp_path: Path) -> None:
    """Whatever it was writing when the disk was full: of runs that have begun none says `running` for ever."""
    prepared = prepare(("debug", "er", "reservoir"))
    expected, state = reference(prepared, tmp_path / "whole")
    reasons = set()
    for size in range(24, 701, 52):
        out = disk / "out"
        mount(disk, size * 1024)
        code = in_child(lambda: go(prepared, out))  # noqa: B023
        status = prepared.folder(out, 0) / "status.json"
        if code and status.exists():
            found = json.loads(status.read_text())
            assert (found["state"], found["may_pass"]) == ("failed", True), (size, found)
            assert (status.parent / "traceback.txt").exists() and (status.parent / "SHA256SUMS").exists(), size
            reasons.add(found["reason"])
            mount(disk, 2**22)
            assert in_child(lambda: go(prepared, out)) == 0  # noqa: B023
            assert (out / "final").read_text() == state
        if status.exists():
            assert outcome(prepared, out) == expected
            shutil.rmtree(out)
    assert len(reasons) == 1 and reasons.pop().startswith("disk full: [Errno 28] No space left on device; make room")
