import fcntl
import json
import os
import signal
import socket
from datetime import datetime
from pathlib import Path

import pytest

from clbench.errors import StoreError
from clbench.store.lock import Busy, held, holder, lock_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "debug" / "er" / "0123456789ab" / "seed0"


def test_one_at_a_time_and_the_other_learns_who(folder: Path) -> None:
    with held(folder):
        who = json.loads(lock_file(folder).read_text())
        assert (who["host"], who["pid"]) == (socket.gethostname(), os.getpid())
        assert datetime.fromisoformat(who["since"]).tzinfo is not None
        with pytest.raises(Busy) as error, held(folder):
            pytest.fail("two have it")
        assert f"Expected {folder} to be free but process {os.getpid()} on {who['host']} has been" in str(error.value)
        assert error.value.exit_code == 5
        with held(folder.with_name("seed1")):  # another run is another lock
            pass
    with held(folder):
        pass


def test_the_lock_lies_beside_the_folder_and_stays(folder: Path) -> None:
    with held(folder):
        assert not folder.exists()
    assert lock_file(folder) == folder.parent / ".seed0.lock" and lock_file(folder).exists()


def test_it_is_given_back_whatever_happens(folder: Path) -> None:
    with pytest.raises(RuntimeError), held(folder):
        raise RuntimeError("it broke")
    child = os.fork()
    if not child:
        with held(folder):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with held(folder):
        assert json.loads(lock_file(folder).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "\x00"])
def test_a_holder_that_has_not_written_its_name_yet(folder: Path, text: str) -> None:
    folder.parent.mkdir(parents=True)
    lock_file(folder).write_text(text)
    assert holder(folder) == "another process has just begun to run it"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="choose another folder with --out") as error,
        held(tmp_path / "file" / "seed0"),
    ):
        pytest.fail("held")
    assert not isinstance(error.value, Busy)


def test_a_file_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="No locks available; choose a folder with --out whose file system has locks"):
        with held(folder):
            pytest.fail("held")
