import subprocess
from pathlib import Path

import pytest

from clbench.checkout import git_state


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
