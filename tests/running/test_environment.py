import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.running import environment
from clbench.running.environment import cpu_model, git_state, peak_memory_bytes, record

CPU = torch.device("cpu")


def test_the_record_is_plain_json_and_names_what_changes_numbers() -> None:
    found = json.loads(json.dumps(record(CPU)))
    assert set(environment.PACKAGES) == set(found["packages"]) and found["packages"]["numpy"] == np.__version__
    assert (found["device"], found["gpu"], found["threads"]) == ("cpu", None, torch.get_num_threads())


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package"))
    versions = record(CPU)["packages"]
    assert versions["no-such-package"] is None and versions["numpy"]


def test_a_checkout_has_a_commit_and_may_be_dirty(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "other.py").write_text("")
    git("add", ".")
    git("commit", "-qm", "one")
    assert git_state(tmp_path) is None  # a checkout of somebody else, that clbench is installed in
    (tmp_path / "__init__.py").write_text("")
    git("add", ".")
    git("commit", "-qm", "two")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "__init__.py").write_text("changed = 1")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_without_a_checkout_or_git_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path(__file__).parent) is None


@pytest.mark.parametrize("known", [True, False])
def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    lines = "processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Slow\n" if known else "Features\t: fp\n"
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: lines)
    monkeypatch.setattr(platform, "processor", lambda: "some processor")
    assert cpu_model() == ("Fast 9000" if known else "some processor")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_the_largest_memory_is_in_bytes_as_the_kernel_counts_it() -> None:
    [line] = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    assert peak_memory_bytes(CPU) == pytest.approx(1024 * int(line.split()[1]), rel=0.05)
