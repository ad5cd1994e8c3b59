import json
import os
import signal
import socket
from datetime import datetime
from pathlib import Path

import pytest

from clbench.errors import StoreError
from clbench.store.lock import Busy, held, holder, is_held, lock_file


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


@pytest.mark.parametrize("kind", ["auto", "lease"])
def test_one_that_was_taken_over_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("CLBENCH_LOCK", kind)
    with held(folder) as check:
        check()
        assert is_held(folder) and str(os.getpid()) in holder(folder)
        lock_file(folder).with_name(".seed0.lock" if kind == "auto" else ".seed0.lock.1").unlink()
        with pytest.raises(
            StoreError, match="but it was removed, or taken over while this process stood still"
        ) as error:
            check()
    assert not isinstance(error.value, Busy)


def test_a_lease_that_lives_makes_the_other_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLBENCH_LOCK", "lease")
    monkeypatch.setenv("CLBENCH_LEASE_S", "6")  # so that it is renewed every second
    with (
        held(folder),
        pytest.raises(Busy, match=f"process {os.getpid()} on .* has been running it since"),
        held(folder),
    ):
        pytest.fail("two have it")
    with held(folder):
        pass
