import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clbench.errors import StoreError
from clbench.store import archive
from clbench.store.archive import opened, pack, unpack
from clbench.store.folder import INTERRUPTED, SUMS, Run, find_runs

Make = Callable[..., Path]
PLACE = "made/er/abcd12345678/seed0"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_packed_comes_out_byte_for_byte_without_checkpoints(tmp_path: Path, make: Make) -> None:
    runs = [make("a", seed) for seed in (0, 1)]
    before = content(tmp_path / "a")
    (runs[0] / "checkpoint").mkdir()
    (runs[0] / "checkpoint/state.pt").write_bytes(bytes(1000))
    (runs[1] / "notes.txt").write_text("not the run's")
    packed = pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    assert packed.packed == [PLACE, PLACE[:-1] + "1"] and packed.size == (tmp_path / "a.zip").stat().st_size
    with opened(tmp_path / "a.zip") as folder:
        assert content(folder) == before
    assert not folder.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.zip"]


def test_the_same_runs_are_the_same_bytes_whenever_and_wherever_they_stand(tmp_path: Path, make: Make) -> None:
    make("a", 1), make("a", 0)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    for file in (tmp_path / "b").rglob("*"):
        os.utime(file, (1, 1))
        file.chmod(0o700)
    for name in "ab":
        pack(find_runs(tmp_path / name), tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_left_out_is_named_with_its_size(tmp_path: Path, make: Make) -> None:
    make("a", 0)
    half, bad = make("a", 1, state=INTERRUPTED), make("a", 2)
    (half / "checkpoint").mkdir()
    (half / "checkpoint/state.pt").write_bytes(bytes(5000))
    (bad / "metrics.json").write_text("{}")
    packed = pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    first, second, third = (PLACE[:-1] + seed for seed in "012")
    assert (packed.packed, packed.unfinished) == ([first], {second: INTERRUPTED})
    assert packed.damaged == {third: "metrics.json is not as the run wrote it"}
    assert packed.sizes.keys() == {second, third} and packed.sizes[second] == sum(map(len, content(half).values()))


def test_nothing_to_pack_or_a_file_that_is_there_writes_nothing(tmp_path: Path, make: Make) -> None:
    make("a", 0, state=INTERRUPTED)
    with pytest.raises(StoreError, match="Expected finished runs to pack but found none"):
        pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    make("b")
    (tmp_path / "b.zip").write_text("precious")
    with pytest.raises(StoreError, match="Expected a new file but"):
        pack(find_runs(tmp_path / "b"), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "precious"
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="choose another file with --out"):
        pack(find_runs(tmp_path / "b"), tmp_path / "file/b.zip")


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("a")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


HOSTILE = {
    "upwards": (member(f"{PLACE}/../../../../../out.txt"), "is no file of a run"),
    "absolute": (member("/made/er/abcd12345678/seed0/config.json"), "is no file of a run"),
    "from the root": (member("/etc/cron.d/abcd12345678/seed0"), "is no file of a run"),
    "a drive": (member("C:\\made\\er\\abcd12345678\\seed0\\config.json"), "is no file of a run"),
    "backslashes": (member(f"{PLACE}/logits\\..\\..\\x"), "is no file of a run"),
    "elsewhere": (member("setup.py"), "is no file of a run"),
    "another hash": (member("made/er/../seed0/config.json"), "is no file of a run"),
    "a terminal's command": (member(f"{PLACE}/\33[2Jx"), "is no file of a run"),
    "a link": (member(f"{PLACE}/config.json", stat.S_IFLNK | 0o777), "is a link or no plain file"),
    "a device": (member(f"{PLACE}/config.json", stat.S_IFCHR | 0o644), "is a link or no plain file"),
    "twice": (member(f"{PLACE}/{SUMS}"), "stands there twice"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_before_anything_is_written(tmp_path: Path, make: Make, kind: str) -> None:
    info, said = HOSTILE[kind]
    make("a")
    pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as file, warnings.catch_warnings(action="ignore"):
        file.writestr(info, "/etc/passwd")
    (tmp_path / "deep/er").mkdir(parents=True)
    before = content(tmp_path)
    with pytest.raises(StoreError, match="to be an archive of `clbench pack` but got: ") as error:
        unpack(tmp_path / "a.zip", tmp_path / "deep/er")
    assert said in str(error.value) and "\33" not in str(error.value)
    assert content(tmp_path) == before and not list((tmp_path / "deep/er").iterdir())


def test_bombs_are_refused_by_what_they_say_and_by_what_they_hold(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MB of zeros in 64 kB; then the same whose list of files says that it is 10 bytes."""
    (tmp_path / "to").mkdir()
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(member(f"{PLACE}/config.json"), bytes(2**26), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**17
    monkeypatch.setattr(archive, "MAX_BYTES", 10**7)
    with pytest.raises(StoreError, match=r"it unpacks to 67,108,864 bytes, more than 10,000,000"):
        unpack(bomb, tmp_path / "to")
    bomb.write_bytes(bomb.read_bytes().replace((2**26).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(StoreError, match="to be an archive"):
        unpack(bomb, tmp_path / "to")
    assert sum(map(len, content(tmp_path / "to").values())) <= 10
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    make("a")
    pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    with pytest.raises(StoreError, match="files, more than 3"):
        unpack(tmp_path / "a.zip", tmp_path / "to")


def damaged(whole: bytes) -> Iterator[bytes]:
    """Cut, and with bytes turned round: every third at the ends, some between."""
    yield b""
    yield b"no archive"
    yield from (whole[:size] for size in range(0, len(whole), 97))
    for place in {*range(0, len(whole), 31), *range(len(whole) - 60, len(whole), 3)}:
        yield whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def test_a_damaged_archive_is_one_sentence_or_has_the_same_files(tmp_path: Path, make: Make) -> None:
    make("a")
    pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    bad, to, before = tmp_path / "bad.zip", tmp_path / "to", content(tmp_path / "a")
    refused = 0
    for data in damaged((tmp_path / "a.zip").read_bytes()):
        bad.write_bytes(data)
        to.mkdir()
        try:
            unpack(bad, to)
            assert set(content(to).values()) <= set(before.values())  # what was turned round tells of no content
        except StoreError as error:
            refused += 1
            assert str(error).startswith(f"Expected {bad} to be an archive")
        shutil.rmtree(to)
    assert refused > 40


def test_a_folder_is_taken_as_it_is(tmp_path: Path, make: Make) -> None:
    make("a")
    with opened(tmp_path / "a") as folder:
        assert folder == tmp_path / "a" and [run.seed for run in find_runs(folder)] == [0]
    assert Run(tmp_path / "a" / PLACE).sealed
    with pytest.raises(StoreError, match="nowhere"), opened(tmp_path / "nowhere") as folder:
        list(find_runs(folder))
