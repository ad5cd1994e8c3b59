import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import StoreError, UsageError
from clbench.store.archive import pack
from clbench.store.folder import DONE, INTERRUPTED, SUMS, Run, find_run, find_runs, run_name
from clbench.store.lock import held
from clbench.store.merge import merge

Make = Callable[..., Path]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_stores_become_one_with_every_byte(tmp_path: Path, make: Make) -> None:
    a, b = make("a", 0), make("b", 1)
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert merged.whole and merged.copied == ["made/er/abcd12345678/seed0", "made/er/abcd12345678/seed1"]
    found = list(find_runs(tmp_path / "c"))
    assert [content(run.folder) for run in found] == [content(a), content(b)]
    assert not [path for path in (tmp_path / "c").rglob(".*")]


def test_merging_again_changes_nothing(tmp_path: Path, make: Make) -> None:
    make("a")
    merge([tmp_path / "a"], tmp_path / "c")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*")}
    again = merge([tmp_path / "a", tmp_path / "a", tmp_path / "c"], tmp_path / "c")
    assert again.whole and not again.copied and len(again.same) == 3
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*")}


def test_the_same_run_with_other_content_is_refused_and_nothing_of_it_overwritten(tmp_path: Path, make: Make) -> None:
    there = make("c", text="the first")
    make("a", text="the second")
    make("a", 1)
    before = content(there)
    merged = merge([tmp_path / "a"], tmp_path / "c")
    assert merged.refused == {"made/er/abcd12345678/seed0": "the one in the store has other content"}
    assert merged.copied == ["made/er/abcd12345678/seed1"] and not merged.whole
    assert content(there) == before


def test_two_sources_that_disagree_are_a_clash_too(tmp_path: Path, make: Make) -> None:
    make("a", text="one")
    make("b", text="two")
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert len(merged.copied) == len(merged.refused) == 1
    assert (tmp_path / "c/made/er/abcd12345678/seed0/log/notes.txt").read_text() == "one"


def _flip(folder: Path) -> None:
    data = bytearray((folder / "metrics.json").read_bytes())
    data[3] ^= 1
    (folder / "metrics.json").write_bytes(data)


def test_a_damaged_run_is_left_out_and_named(tmp_path: Path, make: Make) -> None:
    bad = make("a", 0)
    make("a", 1)
    _flip(bad)
    merged = merge([tmp_path / "a"], tmp_path / "c")
    assert merged.damaged == {str(bad): "metrics.json is not as the run wrote it"}
    assert [run.seed for run in find_runs(tmp_path / "c")] == [1] and not merged.whole


def test_a_damaged_run_in_the_store_is_said_and_kept(tmp_path: Path, make: Make) -> None:
    make("a")
    there = make("c")
    _flip(there)
    before = content(there)
    merged = merge([tmp_path / "a"], tmp_path / "c")
    assert "the one in the store is damaged: metrics.json" in merged.refused["made/er/abcd12345678/seed0"]
    assert content(there) == before


def test_an_archive_is_a_source_too(tmp_path: Path, make: Make) -> None:
    first = make("a", 0)
    pack(find_runs(tmp_path / "a"), tmp_path / "a.zip")
    make("b", 1)
    merged = merge([tmp_path / "a.zip", tmp_path / "b"], tmp_path / "c")
    assert merged.whole and len(merged.copied) == 2
    assert content(tmp_path / "c/made/er/abcd12345678/seed0") == content(first)
    assert merge([tmp_path / "a.zip"], tmp_path / "c").same == ["made/er/abcd12345678/seed0"]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        merge([tmp_path / "nowhere"], tmp_path / "c")


def test_a_run_by_its_folder_and_by_the_start_of_its_hash(tmp_path: Path, make: Make) -> None:
    first, second = make("a", 0), make("a", 12)
    other = make("a", 0, config_hash="abff00000000")
    store = tmp_path / "a"
    for name, folder in {str(first): first, "abcd/seed12": second, "abcd123/0": first, "abff": other}.items():
        found = find_run(store, name)
        assert found is not None and found.folder == folder and run_name(found).startswith("made/er/ab")
    for name in ("abc", "abcd/seed1", "dcba", str(tmp_path)):
        assert find_run(store, name) is None
    with pytest.raises(UsageError, match="Expected one run named 'abcd' but 2 are: abcd12345678/seed0, "):
        find_run(store, "abcd")
    shutil.rmtree(store)
    assert find_run(store, "abcd") is None


NAME = "made/er/abcd12345678/seed0"


def test_done_takes_the_place_of_what_is_not(tmp_path: Path, make: Make) -> None:
    """In either order of the sources, and for a run that was killed before its checksums were written, too."""
    make("a", text="half", state=INTERRUPTED)
    done = make("b", text="whole")
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert merged.whole and (merged.copied, merged.replaced) == ([NAME], [NAME])
    again = merge([tmp_path / "b", tmp_path / "a"], tmp_path / "c")
    assert again.whole and (again.same, again.outdated) == ([NAME], [NAME])
    [run] = find_runs(tmp_path / "c")
    assert run.state == DONE and content(run.folder) == content(done)
    (run.folder / SUMS).unlink()
    assert merge([tmp_path / "b"], tmp_path / "c").replaced == [NAME]
    assert content(run.folder) == content(done)
    assert not [path for path in run.folder.parent.iterdir() if path.suffix in (".tmp", ".old")]


def test_nothing_takes_the_place_of_what_is_done_or_of_what_another_process_has(tmp_path: Path, make: Make) -> None:
    there, half = make("c", text="whole"), make("d", text="half", state=INTERRUPTED)
    make("a", text="other")
    make("b", text="half", state=INTERRUPTED)
    before = content(there)
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert content(there) == before
    with held(half):
        assert "has been running it since" in merge([tmp_path / "a"], tmp_path / "d").refused[NAME]
    assert Run(half).state == INTERRUPTED


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    half = make("c", text="half", state=INTERRUPTED)
    make("a", text="whole")
    before, rename = content(half), os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tmp":
            raise OSError(5, "broken disk")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StoreError, match="broken disk"):
        merge([tmp_path / "a"], tmp_path / "c")
    assert content(half) == before and len(list(half.parent.iterdir())) == 2  # it and its lock
