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
