from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealing import reseal

from clbench.errors import StoreError
from clbench.report.attention import FILE, looked
from clbench.store.folder import Run

GOOD: dict[str, Any] = {
    "classes": np.arange(2),
    "pixels": np.zeros((2, 3, 8, 8), np.uint8),
    "maps": np.ones((2, 2, 2), np.float16),
}


@pytest.fixture
def folder(real_store: Path) -> Path:
    return next(real_store.glob("debug/dlfl/*/seed0"))


def write(folder: Path, **arrays: Any) -> Run:
    np.savez(folder / FILE, **(GOOD | arrays))
    reseal(folder)
    return Run(folder)


def test_what_was_recorded_comes_back(folder: Path) -> None:
    assert looked(Run(folder))["pixels"].shape[1:] == (3, 8, 8)
    assert looked(write(folder))["classes"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "arrays",
    [
        {"classes": np.array([0, 6])},
        {"classes": np.array([0.0, 1.0])},
        {"classes": np.arange(3)},
        {"pixels": np.zeros((2, 3, 8), np.uint8)},
        {"pixels": np.zeros((2, 3, 0, 8), np.uint8)},
        {"pixels": np.zeros((2, 3, 8, 8), np.float32)},
        {"maps": np.full((2, 2, 2), np.nan, np.float16)},
        {"maps": np.ones((2, 2, 2), np.int8)},
    ],
)
def test_other_arrays_are_refused(folder: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match=r"attention.npz to hold classes \(k,\)"):
        looked(write(folder, **arrays))
