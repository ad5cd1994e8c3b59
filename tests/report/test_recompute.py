from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealing import edit, reseal

from clbench.errors import StoreError
from clbench.report.recompute import Unknowable, check_metrics
from clbench.store.folder import Run, find_runs


def test_what_every_kind_of_run_reports_is_what_its_logits_give(real_store: Path) -> None:
    for run in find_runs(real_store):
        check_metrics(run)


@pytest.mark.parametrize("place", ["final", "groups", "overall", "matrix", "ap", "positives"])
def test_no_number_can_be_another(real_store: Path, place: str) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))

    def change(metrics: dict[str, Any]) -> None:
        here: Any = metrics[place]
        while True:
            key = list(here)[0] if isinstance(here, dict) else 0
            if not isinstance(here[key], dict | list):
                here[key] = 0 if here[key] else 1
                return
            here = here[key]

    edit(folder, "metrics.json", change)
    with pytest.raises(StoreError, match=f"metrics.json to say what the logits give but not so {place}"):
        check_metrics(Run(folder))


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("task0", np.zeros((9, 5), np.float32), r"task0.npy has shape \(9, 5\) with 6 classes"),
        ("task0", np.full((9, 6), np.nan, np.float32), "NaN"),
        ("labels", np.full((9, 6), 2, np.uint8), "labels of 0 and 1"),
        ("labels", np.zeros((8, 6), np.uint8), "task0.npy has shape"),
        ("scored", np.ones((9, 5), np.bool_), "scored of shape"),
    ],
)
def test_arrays_that_give_no_metrics(real_store: Path, name: str, array: Any, said: str) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    np.save(folder / f"logits/{name}.npy", array)
    reseal(folder)
    with pytest.raises(StoreError, match=said):
        check_metrics(Run(folder))


def test_what_was_not_recorded_cannot_be_known(real_store: Path) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    edit(folder, "env.json", lambda env: env["manifest"]["tasks"][0].pop("test"))
    with pytest.raises(Unknowable, match="how many images each task was tested on"):
        check_metrics(Run(folder))
