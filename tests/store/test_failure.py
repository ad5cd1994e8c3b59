import json
from pathlib import Path

import pytest

from clbench.launch.run import run
from clbench.store.failure import record_failure
from clbench.store.folder import Run
from clbench.store.lock import held
from clbench.store.verify import damage


@pytest.fixture
def gone(tmp_path: Path) -> Path:
    """A run's folder as a process that was killed leaves it."""
    [made] = run("debug", "finetune", out=tmp_path)
    (made.folder / "SHA256SUMS").unlink()
    (made.folder / "status.json").write_text('{"state": "running"}')
    (made.folder / "checkpoint").mkdir()
    return made.folder


def test_a_run_without_a_process_has_failed_for_a_reason_that_may_pass(gone: Path) -> None:
    events = (gone / "events.jsonl").read_bytes()
    record_failure(gone, "killed twice")
    found = Run(gone)
    assert (found.state, found.status["reason"], found.status["may_pass"]) == ("failed", "killed twice", True)
    assert (gone / "events.jsonl").read_bytes() == events and events and damage(found) is None
    assert (gone / "checkpoint").is_dir()  # to go on from


def test_another_processs_run_is_left_to_it(gone: Path) -> None:
    with held(gone):
        record_failure(gone, "killed twice")
    assert json.loads((gone / "status.json").read_text()) == {"state": "running"}


def test_a_run_that_is_done_or_has_not_begun_is_left_as_it_is(tmp_path: Path) -> None:
    [done] = run("debug", "finetune", out=tmp_path)
    before = (done.folder / "status.json").read_bytes()
    record_failure(done.folder, "killed twice")
    assert (done.folder / "status.json").read_bytes() == before
    record_failure(tmp_path / "seed9", "killed twice")
    assert not (tmp_path / "seed9").exists()
