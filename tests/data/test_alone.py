import fcntl
import os
from pathlib import Path

import pytest

from clbench.data.alone import alone
from clbench.errors import DataError


def test_one_at_a_time_and_the_other_learns_who(tmp_path: Path) -> None:
    path = tmp_path / "own" / "lock"
    with alone(path, "made data"):
        with pytest.raises(DataError, match=f"Expected to prepare made data alone but process {os.getpid()} on .* has"):
            with alone(path, "made data"):
                pytest.fail("two make it")
        path.write_text("")
        with pytest.raises(DataError, match="but another process has just begun; wait for it"), alone(path, "it"):
            pytest.fail("two make it")
    assert list(path.parent.iterdir()) == []
    with pytest.raises(KeyError), alone(path, "made data"):
        raise KeyError
    with alone(path, "made data"):
        pass


def test_where_it_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="make the folder writable"), alone(tmp_path / "file" / "lock", "it"):
        pytest.fail("locked")
    with pytest.raises(DataError, match="No such file"), alone(tmp_path / "no" / "own" / "lock", "it"):
        pytest.fail("a data root was made")

    def flock(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setenv("CLBENCH_LEASE_S", "0.6")
    with alone(tmp_path / "lock", "it"):  # by a lease
        with pytest.raises(DataError, match="Expected to prepare it alone"), alone(tmp_path / "lock", "it"):
            pytest.fail("two make it")
