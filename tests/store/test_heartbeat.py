import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clbench.errors import StoreError
from clbench.store import heartbeat
from clbench.store.heartbeat import FILE, Heartbeat, Place, beating, read

HERE = Place(2, 5, 30, 100, 130, 500, 12.5)


def nothing() -> None:
    pass


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.001)


def test_it_rises_while_it_beats_and_is_gone_after(tmp_path: Path) -> None:
    with beating(tmp_path, lambda: HERE, nothing, 0.01):
        wait_for(lambda: (found := read(tmp_path)) and found.beat >= 2)
        found = read(tmp_path)
        assert found is not None and (found.host, found.pid) == (socket.gethostname(), os.getpid())
        assert Place(*(getattr(found, name) for name in Place.__dataclass_fields__)) == HERE
        assert found.interval_s == 0.01 and not found.stale(datetime.fromisoformat(found.at))
        assert set(json.loads((tmp_path / FILE).read_text())) == {*Heartbeat.__dataclass_fields__}
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "clbench-heartbeat"]


def test_the_second_comes_soon_for_the_first_knows_no_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SECOND", 0.01)
    places = iter([Place(0, 0, 0, 0, 0, 0)])
    with beating(tmp_path, lambda: next(places, HERE), nothing, 3600.0):
        wait_for(lambda: (found := read(tmp_path)) and found.beat)
        found = read(tmp_path)
        assert found is not None and (found.task, found.beat, found.interval_s) == (HERE.task, 1, 3600.0)


def test_it_is_gone_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), beating(tmp_path, lambda: HERE, nothing):
        wait_for(lambda: read(tmp_path))
        raise RuntimeError("it broke")
    assert list(tmp_path.iterdir()) == []


def test_one_whose_folder_has_become_anothers_says_nothing_more(tmp_path: Path) -> None:
    lost = False

    def check() -> None:
        if lost:
            raise StoreError("another has it")

    with beating(tmp_path, lambda: HERE, check, 0.01):
        wait_for(lambda: read(tmp_path))
        lost = True
        wait_for(lambda: not [each for each in threading.enumerate() if each.name == "clbench-heartbeat"])
        (tmp_path / FILE).write_text("the other's")
    assert (tmp_path / FILE).read_text() == "the other's"


def test_a_disk_that_does_not_take_it_harms_nobody(tmp_path: Path) -> None:
    with beating(tmp_path / "gone", lambda: HERE, nothing, 0.01):
        time.sleep(0.05)
        (tmp_path / "gone").mkdir()  # and when it takes it again, there it is
        wait_for(lambda: read(tmp_path / "gone"))


def test_a_reader_never_sees_half_of_one(tmp_path: Path) -> None:
    with beating(tmp_path, lambda: HERE, nothing, 0.0):
        wait_for(lambda: read(tmp_path))
        for _ in range(300):
            assert read(tmp_path) is not None


def test_stale_is_said_by_the_readers_clock() -> None:
    now = datetime.now(UTC)
    for seconds, stale in ((-3600, False), (0, False), (29, False), (31, True)):
        at = (now - timedelta(seconds=seconds)).isoformat()
        assert Heartbeat(1, 1, 0, 1, 0, 1, at=at, since=at).stale(now) is stale


GOOD: dict[str, Any] = json.loads(
    '{"schema": 1, "host": "a", "pid": 7, "since": "2026-11-29T00:00:00+00:00", "at": "2026-11-29T00:00:00+00:00",'
    '"beat": 1, "task": 1, "tasks": 2, "step": 3, "steps": 4, "done_steps": 3, "total_steps": 8,'
    '"images_per_second": null, "interval_s": 10}'
)


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({**GOOD, "more": 1}))
    found = read(tmp_path)
    assert found is not None and found.images_per_second is None and found.total_steps == 8


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"at": "today"}, {"at": "2026-11-29T00:00:00"}, {"at": 7}, {"since": ""}, {"step": "3"}]
    + [{"step": -1}, {"step": []}, {"steps": 1e300}, {"host": 1}, {"pid": None}, {"interval_s": float("nan")}],
    ids=str,
)
def test_one_of_other_values_is_none(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(GOOD | change))
    assert read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", "[" * 100_000], ids=lambda text: repr(text[:4]))
def test_damage_is_none(text: str, tmp_path: Path) -> None:
    assert read(tmp_path) is None
    (tmp_path / FILE).write_text(text)
    assert read(tmp_path) is None


def test_no_interval_is_shorter_than_what_a_shared_disk_likes() -> None:
    assert heartbeat.INTERVAL == 10.0
