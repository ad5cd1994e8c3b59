"""SIGKILL anywhere: the run goes on to the same bits."""

import os
import random
import signal
from pathlib import Path

import pytest
from forked import KINDS, KilledAt, go, in_child, outcome, prepare, reference, watch_files
from times import TIMES

from clbench.running.build import Prepared

STEPS = {"joint": 14}
"""Steps of a run with 2 epochs; 12 of the strategies that learn task after task."""


def operations(prepared: Prepared, out: Path) -> list[str]:
    """The named points of an uninterrupted run: every write, fsync, rename and removal of a file, in order."""

    def record() -> None:
        out.mkdir()
        names = open(out / "names", "w")
        watch_files(lambda count, name, _: print(name, file=names))
        go(prepared, out)
        names.close()

    assert in_child(record) == 0
    return (out / "names").read_text().splitlines()


def kill_at(prepared: Prepared, out: Path, *, step: int | None = None, operation: int | None = None) -> int:
    """Run in a child that dies after so many steps, or just before its n-th file operation."""

    def work() -> None:
        if operation is not None:
            watch_files(lambda count, name, _: os.kill(os.getpid(), signal.SIGKILL) if count == operation else None)
        go(prepared, out, *([] if step is None else [KilledAt(step)]))

    return in_child(work)


def check(kind: tuple[str, str, str | None], tmp_path: Path, seed: int, *, points: int, kills: int = 1) -> None:
    rng = random.Random(seed)
    prepared = prepare(kind)
    expected, state = reference(prepared, tmp_path / "whole")
    names = operations(prepared, tmp_path / "names")
    for point in range(points):
        out = tmp_path / str(point)
        for _ in range(kills):
            if point % 2:
                code = kill_at(prepared, out, operation=rng.randrange(1, len(names) + 1))
            else:
                code = kill_at(prepared, out, step=rng.randrange(STEPS.get(kind[1], 12) // kills))
            # a second process may do fewer operations than the first, and so come to its end
            assert code in (-signal.SIGKILL, 0)
        assert in_child(lambda out=out: go(prepared, out)) == 0  # type: ignore[misc]
        assert outcome(prepared, out) == expected
        if (out / "final").exists():  # or it was killed when all was done
            assert (out / "final").read_text() == state


@pytest.mark.slow
@pytest.mark.parametrize("kind", [KINDS[2], KINDS[9]], ids="-".join)
def test_killed_runs_go_on_to_the_same_bits(kind: tuple[str, str, str | None], tmp_path: Path) -> None:
    check(kind, tmp_path, 0, points=4)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(KINDS)))
def test_kills(number: int, tmp_path: Path) -> None:
    check(KINDS[number], tmp_path, number, points=max(2, 5 * TIMES // 2))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_double_kills(number: int, tmp_path: Path) -> None:
    check(KINDS[2 * number], tmp_path, 100 + number, points=TIMES, kills=2)


def test_the_named_points_are_those_of_every_file(tmp_path: Path) -> None:
    names = set(operations(prepare(KINDS[1]), tmp_path / "names"))
    wanted = {
        "fsync MANIFEST.json",
        "write state.json",
        "write tensors.safetensors",
        "write events.jsonl",
        "rename 2.tmp",
    }
    assert wanted | {"rmtree 2", "rmtree checkpoint", "fsync checkpoint"} <= names
    assert any(name.startswith("write .status.json") for name in names)
