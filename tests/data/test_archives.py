"""Archives that try to write elsewhere, and VOC's download from a server of our own."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from makers import write_voc

from clbench.data import voc
from clbench.data.archives import unpack
from clbench.errors import DataError


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "above": [member("../out")],
    "deep above": [member("a/../../out")],
    "link above": [member("link", tarfile.SYMTYPE, "../out"), member("link/file")],
    "absolute link": [member("link", tarfile.SYMTYPE, "/tmp/clbench-out")],
    "hard link above": [member("link", tarfile.LNKTYPE, "../out")],
    "device": [member("device", tarfile.CHRTYPE)],
    "pipe": [member("pipe", tarfile.FIFOTYPE)],
}


def archive(path: Path, members: list[tarfile.TarInfo], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        tar.addfile(good := member("good"), io.BytesIO(b"x" * 0))
        assert good.name == "good"
        for each in members:
            tar.addfile(each, io.BytesIO())
    return path


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_nothing_lands_outside_and_nothing_of_it_inside(tmp_path: Path, name: str, mode: str) -> None:
    folder = tmp_path / "in" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="Expected .* to be a whole archive that stays inside its folder"):
        unpack(archive(tmp_path / "a.tar", HOSTILE[name], mode), folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "folder", "in"]
    assert not Path("/tmp/clbench-out").exists()


def test_an_absolute_name_lands_inside(tmp_path: Path) -> None:
    unpack(archive(tmp_path / "a.tar", [member("/tmp/clbench-out")]), tmp_path / "folder")
    assert (tmp_path / "folder/tmp/clbench-out").exists() and not Path("/tmp/clbench-out").exists()


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = member("zeros")
        info.size = 10**6
        tar.addfile(info, io.BytesIO(bytes(10**6)))
    assert (tmp_path / "a.tar.gz").stat().st_size < 5000
    with pytest.raises(DataError, match="to unpack to at most 999,999 bytes but it is 1,000,000"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", 10**6 - 1)
    unpack(tmp_path / "a.tar.gz", tmp_path / "out", 10**6)
    assert (tmp_path / "out" / "zeros").stat().st_size == 10**6


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_what_is_no_archive_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar to be a whole archive"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Path]]]:
    """A server with both of VOC's archives, made small, where torchvision would fetch them."""
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    place = tmp_path / "server"
    place.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def publish() -> list[Path]:
        files = []
        for number, (year, part) in enumerate((("2007", "trainval"), ("2007-test", "test"))):
            made = tmp_path / f"made{number}"
            write_voc(made, {part: [dict.fromkeys(voc.CLASSES, 1)] * 2})
            name = str(DATASET_YEAR_DICT[year]["filename"])
            with tarfile.open(place / name, "w") as tar:
                tar.add(made / "VOCdevkit", "VOCdevkit")
            files.append(place / name)
            sum_ = hashlib.md5((place / name).read_bytes()).hexdigest()
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            monkeypatch.setitem(DATASET_YEAR_DICT, year, {"filename": name, "url": url, "md5": sum_})
        return files

    yield publish
    server.shutdown()
    thread.join()
    server.server_close()


def test_voc_is_fetched_checked_and_unpacked(
    served: Callable[[], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served()
    voc.download(tmp_path / "data")
    lists = tmp_path / "data" / voc.FOLDER / "ImageSets" / "Main"
    assert {"trainval.txt", "test.txt"} <= {path.name for path in lists.iterdir()}
    assert not list((tmp_path / "data" / ".clbench").iterdir())
    voc.download(tmp_path / "data")  # nothing to do


def test_an_archive_that_was_not_unpacked_to_its_end_is_unpacked_again(
    served: Callable[[], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served()
    unpacked: list[str] = []

    def stopped(archive: Path, folder: Path) -> None:
        unpack(archive, folder)
        for photograph in folder.rglob("*.jpg"):
            photograph.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(voc, "unpack", stopped)
        voc.download(tmp_path / "data")

    def noted(archive: Path, folder: Path) -> None:
        unpacked.append(archive.name)
        unpack(archive, folder)

    monkeypatch.setattr(voc, "unpack", noted)
    voc.download(tmp_path / "data")
    assert [name[:6] for name in unpacked] == ["VOCtra", "VOCtes"]
    assert list((tmp_path / "data").rglob("*.jpg")) and not list((tmp_path / "data" / ".clbench").iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_bytes_or_no_server_is_a_sentence_and_nothing_is_unpacked(
    served: Callable[[], list[Path]], tmp_path: Path
) -> None:
    first, _ = served()
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="Expected to fetch VOCtrainval"):
        voc.download(tmp_path / "data")
    first.unlink()
    with pytest.raises(DataError, match=r"Expected to fetch VOCtrainval.* but got: .*404"):
        voc.download(tmp_path / "data")
    assert not (tmp_path / "data" / "VOCdevkit").exists()
