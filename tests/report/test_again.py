import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealing import edit, reseal

from clbench.metrics import Scores, evaluate
from clbench.report.again import Again, NotAgain, farthest, run_again
from clbench.report.recompute import _groups, _scores
from clbench.store.folder import Run


@pytest.fixture
def pair(real_store: Path, tmp_path: Path) -> tuple[Run, Path, Run]:
    """A run, another store, and the run there, which took other seconds."""
    other = tmp_path / "other"
    shutil.copytree(real_store, other)
    run, again = (Run(next(store.glob("debug/er/*/seed0"))) for store in (real_store, other))
    edit(again.folder, "metrics.json", lambda metrics: metrics["cost"].update(train_seconds=[0.25, 0.5, 0.75]))
    return run, other, again


def changed(folder: Path, by: float) -> dict[str, Any]:
    """Change a logit after the last task, with metrics and checksums that belong to it; the metrics."""
    logits = np.load(folder / "logits/task2.npy")
    logits[0, 0] += by
    np.save(folder / "logits/task2.npy", logits)
    reseal(folder)
    scores: Scores = _scores(Run(folder))
    found = evaluate(scores, _groups(Run(folder)))
    edit(folder, "metrics.json", lambda metrics: metrics.update(found))
    return found


def test_a_second_execution_with_the_same_bits(pair: tuple[Run, Path, Run]) -> None:
    run, other, _ = pair
    assert run_again(run, other) == Again(True, 0.0, 0.0) and str(run_again(run, other)) == "same bits"


def test_how_far_a_second_execution_is_away(pair: tuple[Run, Path, Run]) -> None:
    run, other, again = pair
    found = changed(again.folder, 64.0)
    apart = abs(found["final"]["mAP"] - run.metrics["final"]["mAP"])
    second = run_again(run, other)
    assert not second.bits and 0 < second.mAP == apart and second.logits == pytest.approx(64.0)
    assert str(run_again(run, other)) == f"mAP differs by {100 * apart:.2f}, logits by up to 64"


def test_one_bit_is_no_equality(pair: tuple[Run, Path, Run]) -> None:
    run, other, again = pair
    changed(again.folder, 1e-6)
    found = run_again(run, other)
    assert not found.bits and 0 < found.logits < 2e-6


def test_a_copy_is_no_second_run_however_it_was_sealed(pair: tuple[Run, Path, Run], real_store: Path) -> None:
    run, other, again = pair
    with pytest.raises(NotAgain, match="is a copy of it, for it took the same seconds"):
        run_again(run, real_store)
    shutil.copyfile(run.folder / "metrics.json", again.folder / "metrics.json")
    edit(again.folder, "status.json", lambda status: status.update(time="2031-01-01T00:00:00+00:00"))
    with pytest.raises(NotAgain, match="is a copy of it"):
        run_again(run, other)


def test_what_is_no_run_to_compare_with_says_why(pair: tuple[Run, Path, Run], tmp_path: Path) -> None:
    run, other, again = pair
    with pytest.raises(NotAgain, match="it is not in"):
        run_again(run, tmp_path)
    edit(again.folder, "metrics.json", lambda metrics: metrics["final"].update(mAP=0.99))
    with pytest.raises(NotAgain, match=r"cannot be used: .*final.mAP \(0.99 for"):
        run_again(run, other)
    edit(again.folder, "status.json", lambda status: status.update(state="failed"))
    with pytest.raises(NotAgain, match="cannot be used: it is failed"):
        run_again(run, other)


def test_other_labels_of_the_same_data_are_said(pair: tuple[Run, Path, Run]) -> None:
    run, other, again = pair
    labels = np.load(again.folder / "logits/labels.npy")
    labels[0] = labels[0, ::-1]
    np.save(again.folder / "logits/labels.npy", labels)
    changed(again.folder, 0.0)
    with pytest.raises(NotAgain, match="has other labels, though its data have the same hash"):
        run_again(run, other)


def test_of_several_the_farthest() -> None:
    assert farthest([Again(True, 0, 0), Again(False, 0.5, 0.01), Again(False, 0.25, 0.02)]) == Again(False, 0.5, 0.02)
