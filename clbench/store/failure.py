"""What is written of a run whose process is gone without a word. Needs no torch."""

from contextlib import suppress
from pathlib import Path

from clbench.errors import StoreError
from clbench.store.folder import FAILED, RunWriter, finished
from clbench.store.lock import held


def record_failure(folder: Path, reason: str) -> None:
    """Record a run as failed, for a reason that may pass: its checkpoints stay, and it can be gone on with.

    Nothing is written where the run had not begun, is done, or is another process's by now.
    """
    with suppress(StoreError, OSError):
        if not (folder / "config.json").is_file():
            return
        with held(folder) as check:
            if not finished(folder):
                events = (folder / "events.jsonl").stat().st_size
                RunWriter(folder, events, check).close(FAILED, reason, may_pass=True)
