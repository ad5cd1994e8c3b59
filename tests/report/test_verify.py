from pathlib import Path

from sealing import edit

from clbench.report.verify import verify
from clbench.store.folder import Run, find_runs


def test_runs_as_they_were_written_are_recomputed(real_store: Path) -> None:
    for run in find_runs(real_store):
        verdict = verify(run)
        assert verdict.recomputed and not verdict.wrong and not verdict.notes and verdict.state == "done"


def test_the_hash_in_the_folders_name_is_of_the_configuration(real_store: Path) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    moved = folder.parent.with_name("0" * 12)
    folder.parent.rename(moved)
    [wrong] = verify(Run(moved / "seed0")).wrong
    assert wrong == f"the hash of its configuration is {folder.parent.name}"


def test_the_configuration_is_what_the_hash_is_of(real_store: Path) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    edit(folder, "config.json", lambda config: config.update(memory=None, view="limited:3"))
    assert set(verify(Run(folder)).wrong) == {"memory is not what the hash is of", "view is not what the hash is of"}
    edit(folder, "config.json", lambda config: config.update(identity={}))
    assert any("the hash of its configuration" in wrong for wrong in verify(Run(folder)).wrong)
