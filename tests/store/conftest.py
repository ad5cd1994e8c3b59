from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.store.folder import DONE, RunWriter, run_folder

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a small run into the store of that name."""

    def write(
        store: str, seed: int = 0, *, text: str = "as it is", config_hash: str = "abcd12345678", state: str = DONE
    ) -> Path:
        writer = RunWriter(run_folder(tmp_path / store, "made", "er", config_hash, seed))
        for name in ("config.json", "env.json", "metrics.json"):
            writer.json(name, {"seed": seed})
        (writer.folder / "log").mkdir()
        writer.text("log/notes.txt", text)
        writer.close(state)
        return writer.folder

    return write
