import json
import os
import socket
from datetime import datetime
from pathlib import Path

import pytest

from clbench.lock import Lock, Taken, holder


def test_one_at_a_time_and_the_file_says_who(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    mine = Lock(path)
    who = json.loads(path.read_text())
    assert (who["host"], who["pid"]) == (socket.gethostname(), os.getpid())
    assert datetime.fromisoformat(who["since"]).tzinfo is not None
    assert holder(path) == (f"process {os.getpid()} on {who['host']}", who["since"])
    with pytest.raises(Taken):
        Lock(path)
    mine.release()
    assert path.exists()
    Lock(path).release()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "\x00"])
def test_a_holder_that_has_not_written_its_name_yet(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert holder(tmp_path / "lock") is None


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").write_text("")
        Lock(tmp_path / "file" / "lock")
