import os
from pathlib import Path

import pytest

DEFAULT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """A folder with the official lists (`prs/`) and real COCO photographs (`coco-mini/`); see CONTRIBUTING.md."""
    folder = Path(os.environ.get("CLBENCH_TEST_DATA", DEFAULT))
    for needed in ("prs", "coco-mini"):
        if not (folder / needed).is_dir():
            pytest.skip(f"needs {needed}/ below the folder that CLBENCH_TEST_DATA names")
    return folder
