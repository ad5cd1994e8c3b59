import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from clbench.data import checksums
from clbench.data.collection import DataPart
from clbench.errors import DataError

CONTENT = {"lists/train.txt": b"a\n", "lists/sub/more.txt": b"b\n", "photos/1.jpg": b"\0\1", "photos/2.jpg": b""}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, content in CONTENT.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def test_files_are_the_images_and_all_in_parts_that_are_not_images(root: Path) -> None:
    parts = [DataPart("lists/", "lists"), DataPart("photos/", "images"), DataPart("none.toml", "optional")]
    assert checksums.files_of(root, parts, ["photos/2.jpg"]) == [
        "lists/sub/more.txt",
        "lists/train.txt",
        "photos/2.jpg",  # not the other image of its folder
    ]
    one = [DataPart("lists/train.txt", "a list"), DataPart("nowhere/", "a folder")]
    assert checksums.files_of(root, one, ["photos/1.jpg", "photos/1.jpg"]) == ["lists/train.txt", "photos/1.jpg"]
    deep = [DataPart("lists/", "images stand deeper in it")]
    assert checksums.files_of(root, deep, ["lists/sub/more.txt"]) == ["lists/sub/more.txt"]


def test_sums_are_those_of_hashlib_and_sha256sum(root: Path) -> None:
    steps: list[tuple[int, int]] = []
    sums = checksums.write(root, "made", list(CONTENT), lambda *step: steps.append(step))
    assert sums == {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    file = checksums.manifest(root, "made")
    assert file == root / ".clbench" / "made.sha256"
    assert file.read_text() == "".join(f"{each}  {path}\n" for path, each in sums.items())
    tool = shutil.which("sha256sum")
    if tool:
        assert subprocess.run([tool, "--check", "--quiet", file], cwd=root, capture_output=True).returncode == 0
    assert checksums.damaged(root, "made") == {}


def test_what_is_wrong_is_said_of_each_file(root: Path) -> None:
    checksums.write(root, "made", list(CONTENT))
    (root / "photos/1.jpg").write_bytes(b"\0\2")  # in as many bytes
    (root / "photos/2.jpg").unlink()
    (root / "lists/train.txt").unlink()
    (root / "lists/train.txt").mkdir()
    wrong = checksums.damaged(root, "made")
    assert wrong == {
        "lists/train.txt": "cannot be read: Is a directory",
        "photos/1.jpg": "changed",
        "photos/2.jpg": "missing",
    }


def test_a_scenario_has_checksums_of_its_own(root: Path) -> None:
    checksums.write(root, "one", ["photos/1.jpg"])
    checksums.write(root, "two", ["photos/2.jpg"])
    (root / "photos/1.jpg").unlink()
    assert checksums.damaged(root, "two") == {} and checksums.damaged(root, "one") == {"photos/1.jpg": "missing"}
    with pytest.raises(DataError, match=r"three\.sha256 but they are not there; .* `clbench data prepare three`"):
        checksums.damaged(root, "three")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"0" * 64 + b"  good\n" + b"0" * 63 + b"  short\n", "a SHA-256 and a path in line 2 of .* but got '000"),
        (b"0" * 64 + b" one space\n", "a SHA-256 and a path in line 1"),
        (b"A" * 64 + b"  upper case\n", "a SHA-256 and a path in line 1"),
        (b"0" * 64 + b"  \n", "a SHA-256 and a path in line 1"),
        (b"\xff" * 64 + b"  path\n", "Expected checksums in .* but got: .*; prepare made again"),
    ],
)
def test_damaged_checksums_are_a_sentence(root: Path, content: bytes, sentence: str) -> None:
    checksums.write(root, "made", list(CONTENT))
    checksums.manifest(root, "made").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        checksums.damaged(root, "made")


def test_nothing_is_written_where_a_file_cannot_be_read(root: Path) -> None:
    with pytest.raises(DataError, match=r"Expected to read .*nowhere\.jpg but got: No such file or directory; restore"):
        checksums.write(root, "made", ["photos/1.jpg", "nowhere.jpg"])
    assert not checksums.manifest(root, "made").exists()


def test_a_data_root_that_cannot_be_written_is_a_sentence(root: Path) -> None:
    (root / ".clbench").write_text("in the way")
    with pytest.raises(DataError, match=r"Expected to write .*made\.sha256 but got: .*; make the data root writable"):
        checksums.write(root, "made", ["photos/1.jpg"])
