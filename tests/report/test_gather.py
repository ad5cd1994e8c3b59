import shutil
from pathlib import Path

from sealing import edit

from clbench.report.gather import gather
from clbench.store.folder import find_runs


def test_what_is_not_sound_is_said_marked_and_left_out(real_store: Path) -> None:
    sound = gather(find_runs(real_store), lambda line: (_ for _ in ()).throw(AssertionError(line)))
    assert not any(row.damaged or row.recomputed for row in sound)
    bad = next(real_store.glob("debug/er/*/seed1"))
    edit(bad, "metrics.json", lambda metrics: metrics["ap"].pop())
    said: list[str] = []
    found = {row.first.scenario + row.first.strategy: row for row in gather(find_runs(real_store), said.append)}
    assert len(found) == len(sound) and found["debuger"].damaged == (1,) and len(found["debuger"].runs) == 1
    [line] = said
    assert f"{bad}/env.json to belong to the run's other files but there are 2 of ap, not 3" in line


def test_runs_of_one_hash_have_one_set_of_classes(real_store: Path) -> None:
    """Or their curves could not stand in one figure."""
    bad = next(real_store.glob("debug/er/*/seed1"))
    edit(bad, "env.json", lambda env: env["manifest"]["groups"].pop("minority"))
    said: list[str] = []
    gather(find_runs(real_store), said.append)
    assert len(said) == 1 and "to have the classes and tasks of other runs on the same data" in said[0]


def test_recomputed_rows_are_told_from_the_others(real_store: Path) -> None:
    old = next(real_store.glob("debug-incremental/er/*/seed0"))
    (old / "logits/tested.npy").unlink()
    edit(old, "status.json", lambda status: None)
    said: list[str] = []
    rows = gather(find_runs(real_store), said.append, recompute=True)
    assert [row.is_recomputed for row in rows].count(False) == 1
    assert len(said) == 1 and "cannot be recomputed: tasks share test images" in said[0]


def test_rows_that_were_run_again_say_for_which_seeds_and_how_far(real_store: Path, tmp_path: Path) -> None:
    said: list[str] = []
    other = tmp_path / "other"
    shutil.copytree(real_store, other)
    for folder in (next(other.glob("debug/er/*/seed1")), next(other.glob("debug/dlfl/*/seed0"))):
        edit(folder, "metrics.json", lambda metrics: metrics["cost"].update(train_seconds=[0.5]))
    runs = (run for run in find_runs(real_store) if run.scenario == "debug")
    rows = {row.first.strategy: row for row in gather(runs, said.append, recompute=True, against=other)}
    assert rows["er"].ran_again == "seed 1 of 2, same bits" and rows["dlfl"].ran_again == "seed 0, same bits"
    assert rows["joint"].ran_again is None and len([line for line in said if "is a copy of it" in line]) == 2
    assert rows["er"].as_json()["run_again"] == {"1": {"bits": True, "logits": 0.0, "mAP": 0.0}}
    assert not any(row.again for row in gather(find_runs(real_store), said.append, against=other))
