"""A disk that fails: every operation on a file in turn, and files that were damaged."""

import errno
import json
import os
import random
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import CPU, KINDS, go, in_child, outcome, prepare, reference, watch_files
from times import TIMES

from clbench.running.build import Prepared
from clbench.store import checkpoint
from clbench.store.checkpoint import Damaged
from clbench.store.folder import finished

FAULTS = ("EIO", "ENOSPC", "short")
write = os.write


def fail(prepared: Prepared, out: Path, k: int, fault: str, *, persistent: bool = False) -> tuple[int, bool]:
    """Run with a k-th operation that fails (and all after it); its exit code, and whether it came to that."""
    failed = out.with_name(f"{out.name}-failed")

    def act(count: int, name: str, arguments: tuple[Any, ...]) -> None:
        if count == k or (persistent and count > k):
            failed.touch()
            if fault == "short" and name.startswith("write"):
                write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(errno.EIO if fault == "EIO" else errno.ENOSPC, f"injected into {name}")

    def work() -> None:
        watch_files(act)
        go(prepared, out, steps=5)

    return in_child(work), failed.exists()


def check(tmp_path: Path, fault: str, first: int, stride: int, *, persistent: bool) -> None:
    """Fail operation k, then go on with a disk that works, until a run passes clean."""
    prepared = prepare(KINDS[2], epochs=1)
    expected, state = reference(prepared, tmp_path / "whole")
    k = first
    while True:
        out = tmp_path / str(k)
        code, failed = fail(prepared, out, k, fault, persistent=persistent)
        if not failed:
            assert code == 0 and outcome(prepared, out) == expected
            assert k > 40  # or nothing was watched
            return
        whole = finished(prepared.folder(out, 0))  # then there is nothing left to do
        assert in_child(lambda out=out: go(prepared, out)) == 0, k  # type: ignore[misc]
        assert outcome(prepared, out) == expected, k
        assert whole or (out / "final").read_text() == state, k
        shutil.rmtree(out)
        k += stride


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_disk_never_leaves_half_a_checkpoint(fault: str, tmp_path: Path) -> None:
    check(tmp_path, fault, 1 + FAULTS.index(fault), 17, persistent=False)


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "persistent"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_fails_in_turn(fault: str, persistent: bool, tmp_path: Path) -> None:
    """Every fourth with an error, once, every twentieth otherwise; with CLBENCH_FAULT_STRIDE=1 each, and a fifth."""
    stride = int(os.environ.get("CLBENCH_FAULT_STRIDE", "4")) * (1 if fault == "EIO" and not persistent else 5)
    check(tmp_path, fault, 1, stride, persistent=persistent)


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_recorded_and_the_run_goes_on_later(tmp_path: Path) -> None:
    """A real limit of the operating system instead of an injected one: no file above 20 kB."""
    prepared, out = prepare(KINDS[1]), tmp_path / "run"
    expected, state = reference(prepared, tmp_path / "whole")

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        go(prepared, out)

    assert in_child(limited) == 1
    status = json.loads((prepared.folder(out, 0) / "status.json").read_text())
    assert status["state"] == "failed" and "File too large" in status["reason"]
    assert in_child(lambda: go(prepared, out)) == 0
    assert outcome(prepared, out) == expected and (out / "final").read_text() == state


def _fits(state: object) -> None:
    return None


@pytest.mark.slow
def test_five_hundred_damaged_files_are_found(tmp_path: Path) -> None:
    rng = random.Random(0)
    state = {"weights": torch.arange(300.0), "generator": {"state": 2**100}, "betas": (0.9, 0.999), "by id": {0: [1]}}
    checkpoint.write(tmp_path, 1, state)
    checkpoint.write(tmp_path, 2, state)
    files = sorted((tmp_path / "2").iterdir())
    assert [file.name for file in files] == ["MANIFEST.json", "state.json", "tensors.safetensors"]
    for number in range(500 * TIMES):
        file = files[number % 3]
        good = file.read_bytes()
        bad = bytearray(good)
        if number % 2:
            del bad[rng.randrange(len(bad)) :]
        else:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        file.write_bytes(bad)
        with pytest.raises(Damaged, match="Expected a whole checkpoint in"):
            checkpoint.read(tmp_path / "2", CPU, pytest.fail)
        said: list[str] = []
        found = checkpoint.latest(tmp_path, CPU, _fits, said.append)
        assert found and found.step == 1
        assert len(said) == 1 and "Going back to the checkpoint before it" in said[0]
        file.write_bytes(good)
    found = checkpoint.latest(tmp_path, CPU, _fits, pytest.fail)
    assert found and found.step == 2


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["events.jsonl", "logits/task0.npy", "checkpoint/10/state.json"])
def test_a_run_goes_on_past_damage(damaged: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A checkpoint whose record was changed is not used either; an earlier one is, or the start."""
    prepared, out = prepare(KINDS[1]), tmp_path / "run"
    expected, state = reference(prepared, tmp_path / "whole")

    def stop() -> None:
        from forked import KilledAt

        go(prepared, out, KilledAt(10))

    assert in_child(stop) < 0
    file = prepared.folder(out, 0) / damaged
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert in_child(lambda: go(prepared, out)) == 0
    assert outcome(prepared, out) == expected and (out / "final").read_text() == state
    assert "Going back to the checkpoint before it, or to the start." in capfd.readouterr().err
