import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sealing import edit, reseal

CommandLine = Callable[..., tuple[int, str, str]]


def _swap(folder: Path) -> None:
    first, second = folder / "logits/task1.npy", folder / "logits/task2.npy"
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def _flip_labels(folder: Path) -> None:
    np.save(folder / "logits/labels.npy", 1 - np.load(folder / "logits/labels.npy"))


def _better(metrics: dict[str, dict[str, float]]) -> None:
    metrics["final"]["mAP"] = 0.99


def _other_lr(config: dict[str, dict[str, dict[str, float]]]) -> None:
    config["options"]["train"]["lr"] = 0.5


def _with_hash(config: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    config["options"]["train"]["lr"] = config["identity"]["options"]["train"]["lr"] = 0.5  # type: ignore[assignment]


def _move(folder: Path) -> None:
    folder.rename(folder.with_name("seed7"))


def _lose(folder: Path) -> None:
    (folder / "logits/task2.npy").unlink()


def _sealed(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    """With new checksums."""

    def both(folder: Path) -> None:
        spoil(folder)
        reseal(folder)

    return both


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no sums": (lambda folder: (folder / "SHA256SUMS").unlink(), "without its SHA256SUMS"),
    "empty sums": (lambda folder: (folder / "SHA256SUMS").write_text(""), "without its SHA256SUMS"),
    "an edit": (lambda folder: edit(folder, "metrics.json", _better, sealed=False), "metrics.json is not as"),
    "a sealed edit": (lambda folder: edit(folder, "metrics.json", _better), "final.mAP (0.99 for 0."),
    "swapped logits": (_swap, "task1.npy is not as the run wrote it"),
    "sealed swapped logits": (_sealed(_swap), "logits"),
    "deleted logits": (_lose, "task2.npy is missing"),
    "sealed deleted logits": (_sealed(_lose), "logits/task2.npy to be there"),
    "sealed labels": (_sealed(_flip_labels), "metrics.json to say what the logits"),
    "another option": (lambda folder: edit(folder, "config.json", _other_lr), "options is not what the hash is of"),
    "another hash": (lambda folder: edit(folder, "config.json", _with_hash), "the hash of its configuration is"),
    "other data": (lambda f: edit(f, "env.json", lambda e: e["manifest"].update(hash="0" * 64)), "data is not what"),
    "other classes": (lambda f: edit(f, "env.json", lambda e: e["manifest"]["classes"].pop()), "env.json to belong"),
    "another seed": (_move, "config.json is of seed 0"),
    "no status": (lambda folder: (folder / "status.json").unlink(), "status.json"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_not_as_its_run_wrote_it_has_a_line(clbench: CommandLine, real_store: Path, kind: str) -> None:
    spoil, said = SPOILT[kind]
    folder = next(real_store.glob("debug/er/*/seed0"))
    spoil(folder)
    code, out, err = clbench("verify", str(real_store))
    [line] = out.splitlines()
    assert code == 5 and line.startswith("debug/er/") and said in line, out
    assert err.endswith("1 not as written\n")


def test_every_metric_of_every_kind_of_run_is_recomputed(clbench: CommandLine, real_store: Path) -> None:
    """Plain, label queries, a bound, tasks that share test images, a view with labels that are not scored."""
    code, out, err = clbench("verify", str(real_store))
    runs = sum(1 for _ in real_store.glob("*/*/*/seed*"))
    assert (code, out) == (0, "") and err == f"{runs} run(s): {runs} recomputed, 0 not done, 0 not as written\n"
    document = json.loads(clbench("verify", str(real_store), "--json")[1])["runs"]
    assert all(run["recomputed"] and run["state"] == "done" and not run["wrong"] for run in document)
    assert any((folder / "logits/tested.npy").exists() for folder in real_store.glob("*/*/*/seed*"))
    assert any((folder / "logits/scored.npy").exists() for folder in real_store.glob("*/*/*/seed*"))


def test_a_run_of_an_older_version_says_what_cannot_be_recomputed(clbench: CommandLine, real_store: Path) -> None:
    shared = next(file for file in real_store.glob("*/*/*/seed*/logits/tested.npy"))
    shared.unlink()
    edit(shared.parent.parent, "config.json", lambda config: config.pop("identity"))
    code, out, err = clbench("verify", str(real_store))
    assert (code, out) == (0, "")
    assert "the hash cannot be recomputed" in err and "metrics cannot be recomputed: tasks share test images" in err


def test_a_run_that_is_not_done_is_nothing_to_complain_of(clbench: CommandLine, real_store: Path) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    edit(folder, "status.json", lambda status: status.update(state="running"), sealed=False)
    (folder / "SHA256SUMS").unlink()
    code, out, err = clbench("verify", str(real_store))
    assert (code, out) == (0, "") and "1 not done" in err


def test_it_needs_no_torch(real_store: Path, tmp_path: Path) -> None:
    shutil.copytree(real_store, tmp_path / "runs")
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['clbench', 'verify', 'runs']; import clbench.__main__"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 and "recomputed" in done.stderr, done.stderr


def test_an_archive_is_verified_as_a_folder_is(clbench: CommandLine, real_store: Path) -> None:
    """What is wrong is said of the archive, and of no folder that is gone by then."""
    folder = next(real_store.glob("debug/er/*/seed0"))
    edit(folder, "metrics.json", _better)
    assert clbench("pack", str(real_store), "--out", "all.zip")[0] == 0
    code, out, err = clbench("verify", "all.zip")
    [line] = out.splitlines()
    assert code == 5 and line.startswith("debug/er/") and "Expected all.zip/debug/er/" in line and "final.mAP" in line
    assert err.endswith("1 not as written\n")
    Path("bad.zip").write_bytes(Path("all.zip").read_bytes()[:-30])
    code, out, err = clbench("verify", "bad.zip")
    assert (code, out) == (5, "") and "Expected bad.zip to be an archive of `clbench pack`" in err


def test_a_second_execution_has_a_line(clbench: CommandLine, real_store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(real_store, other)
    edit(next(other.glob("debug/er/*/seed0")), "metrics.json", lambda found: found["cost"].update(train_seconds=[0.5]))
    code, out, err = clbench("verify", str(real_store), "--against", str(other))
    assert code == 0 and re.fullmatch(r"debug/er/\w{12}/seed0: run again: same bits\n", out)
    assert err.count("is a copy of it") == 5 and err.endswith("1 run again, 1 with the same bits\n")
    runs = json.loads(clbench("verify", str(real_store), "--against", str(other), "--json")[1])["runs"]
    assert [run["again"] for run in runs if run["again"]] == [{"bits": True, "logits": 0.0, "mAP": 0.0}]
    code, _, err = clbench("verify", str(real_store), "--against", "nowhere")
    assert code == 5 and "Expected a results folder at nowhere" in err
