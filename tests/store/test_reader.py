import os
from pathlib import Path

import numpy as np
import pytest
from sealing import reseal

from clbench.errors import StoreError
from clbench.store.lock import held
from clbench.store.reader import SUMS, Reader

STATUS = '{"state": "done", "reason": null}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "seed0"
    folder.mkdir()
    (folder / "status.json").write_text(STATUS)
    reseal(folder)
    return folder


def test_a_file_is_read_as_it_was_written(folder: Path) -> None:
    reader = Reader(folder)
    assert reader.content("status.json") == STATUS.encode()
    assert reader.json("status.json") == {"state": "done", "reason": None}
    assert set(reader.sums) == {"status.json"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "to be a JSON file but got"),
        ('{"state": NaN}', "to be a JSON file but got"),
        (r'{"state": "\ud800"}', "to be a JSON file but got"),
        ("[" * 100_000, "to be a JSON file but got"),
        ("[]", "to hold a JSON object but got list"),
        ("{}", "to be the status of a run but status has no state"),
    ],
)
def test_json_that_is_none_of_a_run(folder: Path, text: str, said: str) -> None:
    (folder / "status.json").write_text(text)
    with pytest.raises(StoreError, match="its checksum differs; run it again with --rerun"):
        Reader(folder).json("status.json")
    reseal(folder)
    with pytest.raises(StoreError, match=said):
        Reader(folder).json("status.json")


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    for name in ("status.json", SUMS):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(StoreError, match=f"{name} to be there but got: it is no plain file"):
            Reader(folder).json("status.json")
        (folder / name).unlink()
        (folder / "status.json").write_text(STATUS)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (9,9,9)}", b"\x80\x04."]
)
def test_bytes_that_are_no_arrays(folder: Path, data: bytes) -> None:
    (folder / "a.npy").write_bytes(data)
    reseal(folder)
    with pytest.raises(StoreError, match=r"a.npy to hold arrays but got"):
        Reader(folder).loaded("a.npy")


def test_arrays_come_back(folder: Path) -> None:
    np.save(folder / "a.npy", np.arange(3))
    np.savez(folder / "b.npz", x=np.eye(2))
    reseal(folder)
    assert Reader(folder).loaded("a.npy").tolist() == [0, 1, 2]
    assert Reader(folder).loaded("b.npz")["x"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("name", "got"), [("a.npy", "an archive of arrays"), ("b.npz", "one array and no archive")])
def test_one_array_is_no_archive_and_an_archive_no_array(folder: Path, name: str, got: str) -> None:
    with open(folder / "a.npy", "wb") as file:
        np.savez(file, x=np.arange(3))
    with open(folder / "b.npz", "wb") as file:
        np.save(file, np.arange(3))
    reseal(folder)
    with pytest.raises(StoreError, match=f"{name} to hold arrays but got: {got}"):
        Reader(folder).loaded(name)


def test_a_run_that_somebody_has_is_to_be_waited_for(folder: Path) -> None:
    (folder / "status.json").unlink()
    with held(folder), pytest.raises(StoreError, match=rf"process {os.getpid()} on .*; wait for it"):
        Reader(folder).json("status.json")
