import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from clbench.errors import StoreError
from clbench.files import sha256
from clbench.store.folder import (
    DONE,
    FAILED,
    INTERRUPTED,
    SPARE,
    SPARE_BYTES,
    Run,
    RunWriter,
    find_runs,
    finished,
    run_folder,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return run_folder(tmp_path, "debug", "er", "0123456789ab", 3)


CONFIG: dict[str, object] = {
    "strategy": "er",
    "head": "linear",
    "memory": None,
    "view": "all",
    "changed": {},
    "protocol": {},
}
CONFIG["options"] = {"model": {}, "train": {}}


def write(folder: Path, state: str = DONE) -> RunWriter:
    writer = RunWriter(folder)
    writer.json("config.json", CONFIG)
    writer.events([{"event": "step", "loss": 1.5}])
    writer.array("task0", np.zeros((2, 3), np.float32))
    writer.close(state, None if state == DONE else "it broke")
    return writer


def test_a_run_is_read_back(folder: Path) -> None:
    write(folder)
    run = Run(folder)
    assert run_folder(run.out, run.scenario, run.strategy, run.config_hash, run.seed) == folder
    assert (run.scenario, run.strategy, run.config_hash, run.seed) == ("debug", "er", "0123456789ab", 3)
    assert run.state == DONE and run.status["reason"] is None
    assert run.config == CONFIG
    assert np.load(folder / "logits" / "task0.npy", allow_pickle=False).shape == (2, 3)
    assert json.loads((folder / "events.jsonl").read_text()) == {"event": "step", "loss": 1.5}


def test_a_run_is_finished_once_its_checksums_are_written(folder: Path) -> None:
    assert finished(folder) is None
    write(folder, FAILED)
    assert finished(folder) is None
    write(folder)
    assert finished(folder) == Run(folder)
    (folder / "SHA256SUMS").unlink()
    assert finished(folder) is None


@pytest.mark.parametrize("left", [None, "", "no sums at all\n"])
def test_a_run_without_its_checksums_counts_nowhere_as_done(folder: Path, left: str | None) -> None:
    write(folder)
    (folder / "SHA256SUMS").unlink()
    if left is not None:
        (folder / "SHA256SUMS").write_text(left)
    run = Run(folder)
    assert finished(folder) is None and run.state == INTERRUPTED and "SHA256SUMS" in run.status["reason"]
    assert json.loads((folder / "status.json").read_text())["state"] == DONE


def test_a_file_that_the_checksums_leave_out_is_not_trusted(folder: Path) -> None:
    write(folder)
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if "config.json" not in line))
    with pytest.raises(StoreError, match=r"config.json to be as the run wrote it but SHA256SUMS does not list it"):
        _ = Run(folder).config


def test_a_run_that_goes_on_keeps_its_events_and_loses_what_is_left_over(folder: Path) -> None:
    writer = RunWriter(folder)
    writer.events([{"event": "step", "loss": 1.5}, {"event": "step", "loss": 2.5}])
    size = writer.events_written()
    assert size == (folder / "events.jsonl").stat().st_size > 0
    writer.events([{"event": "lost"}])
    writer.text("traceback.txt", "it broke")
    (folder / "logits" / ".task0.npy.17.tmp").touch()
    writer.close(FAILED, "it broke", at={"task": 1})
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["reason"], status["at"]) == (FAILED, "it broke", {"task": 1})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", status["time"])
    RunWriter(folder, size)
    assert [json.loads(line)["loss"] for line in (folder / "events.jsonl").read_text().splitlines()] == [1.5, 2.5]
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"events.jsonl", "status.json"}


def test_arrays_of_objects_are_refused(folder: Path) -> None:
    writer = RunWriter(folder)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        writer.array("task0", np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        writer.arrays("attention", {"maps": np.array([{}], object)})


def test_several_arrays_are_read_back_and_damage_is_noticed(folder: Path) -> None:
    writer = RunWriter(folder)
    writer.arrays("attention", {"maps": np.eye(2, dtype=np.float16), "classes": np.arange(3)})
    writer.close(DONE)
    found = Run(folder).arrays("attention")
    assert found["maps"].dtype == np.float16 and np.array_equal(found["maps"], np.eye(2)) and len(found["classes"]) == 3
    (folder / "attention.npz").write_bytes(b"PK")
    with pytest.raises(StoreError, match="attention.npz to be as the run wrote it but its checksum differs"):
        Run(folder).arrays("attention")
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(StoreError, match="attention.npz to hold arrays but got"):
        Run(folder).arrays("attention")


def test_runs_are_ordered_by_name_and_by_the_number_of_the_seed(tmp_path: Path) -> None:
    wanted = [("a", "er", "0" * 12, 2), ("a", "er", "0" * 12, 10), ("a", "er", "1" * 12, 1), ("a", "ewc", "0" * 12, 0)]
    wanted.append(("b", "dlfl", "0" * 12, 0))
    for scenario, strategy, digest, seed in reversed(wanted):
        write(run_folder(tmp_path, scenario, strategy, digest, seed))
    found = [(run.scenario, run.strategy, run.config_hash, run.seed) for run in find_runs(tmp_path)]
    assert found == wanted


def test_checksums_cover_every_other_file(folder: Path) -> None:
    write(folder)
    pairs = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    lines = {name: digest for digest, name in pairs}
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert set(lines) == files == {"config.json", "status.json", "events.jsonl", "logits/task0.npy"}
    assert all(sha256(folder / name) == digest for name, digest in lines.items())


def test_a_changed_file_is_noticed(folder: Path) -> None:
    write(folder)
    (folder / "config.json").write_text('{"strategy": "dlfl"}')
    with pytest.raises(StoreError, match=r"config.json to be as the run wrote it but its checksum differs"):
        _ = Run(folder).config


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "to be a JSON file"), ("[1]", "to hold a JSON object but got list")]
)
def test_a_damaged_file_is_one_sentence(folder: Path, text: str, sentence: str) -> None:
    write(folder)
    (folder / "SHA256SUMS").unlink()
    (folder / "config.json").write_text(text)
    with pytest.raises(StoreError, match=sentence) as error:
        _ = Run(folder).config
    assert error.value.exit_code == 5


def test_an_unknown_state_is_refused(folder: Path) -> None:
    write(folder)
    (folder / "SHA256SUMS").unlink()
    (folder / "status.json").write_text('{"state": "splendid"}')
    with pytest.raises(StoreError, match="to say one of done, .* but got 'splendid'"):
        _ = Run(folder).state


def test_writing_again_starts_from_nothing(folder: Path) -> None:
    write(folder, FAILED)
    (folder / "left.txt").write_text("over")
    write(folder)
    assert not (folder / "left.txt").exists() and Run(folder).state == DONE


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another folder with --out"):
        RunWriter(tmp_path / "file" / "seed0")


def test_runs_are_found_in_a_fixed_order(tmp_path: Path) -> None:
    for scenario, seed in (("b", 10), ("b", 9), ("a", 0)):
        write(run_folder(tmp_path, scenario, "er", "0" * 12, seed))
    (tmp_path / "a" / "er" / ("0" * 12) / "seedx").mkdir()
    (tmp_path / "a" / "er" / ("0" * 12) / "seed7").mkdir()  # never started
    assert [(run.scenario, run.seed) for run in find_runs(tmp_path)] == [("a", 0), ("b", 9), ("b", 10)]


def test_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match="Expected a results folder at .* but there is none; make one with `clbench run`"
    ):
        list(find_runs(tmp_path / "none"))


def test_an_end_that_could_not_be_written_is_written_as_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter(folder)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "json", lambda name, value: (_ for _ in ()).throw(OSError(5, "broken disk")))
        with pytest.raises(OSError, match="broken disk"):
            writer.close(DONE)
    writer.close(FAILED, "broken disk")
    assert Run(folder).state == FAILED and (folder / "SHA256SUMS").exists()


def test_the_end_of_a_run_has_room_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files go before the status is written, and the status is written before the traceback."""
    writer, written, replace = RunWriter(folder), list[str](), os.replace
    writer.keep_room()
    (folder / "logits" / ".task0.npy.17.tmp").touch()
    (folder / "checkpoint" / "7.tmp").mkdir(parents=True)
    assert len(list(folder.rglob("*.tmp"))) == 3 and (folder / SPARE).stat().st_size == SPARE_BYTES

    def note(source: Path, target: Path) -> None:
        assert list(folder.rglob("*.tmp")) == [source]
        written.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    writer.close(FAILED, "it broke", trace="where")
    assert written == ["status.json", "traceback.txt", "SHA256SUMS"]
    assert "tmp" not in (folder / "SHA256SUMS").read_text()
