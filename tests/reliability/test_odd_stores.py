"""Results folders that hold what no run of ours wrote: every verb ends with a sentence, and the other runs' rows."""

import json
import os
import random
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from garbled import mutate
from sealing import edit, reseal
from times import TIMES

from clbench.errors import StoreError
from clbench.report.attention import looked
from clbench.store.folder import Run, find_runs
from clbench.store.lock import held

CommandLine = Callable[..., tuple[int, str, str]]

FILES = ("config.json", "env.json", "metrics.json", "status.json")
FOUND = {0, 1, 2, 3, 4, 5}
"""Exit codes that say what is wrong; 70 is a bug."""


def verbs(store: Path, run: Path, tmp_path: Path) -> dict[str, tuple[str, ...]]:
    at = ("--runs", str(store))
    tracker = {"export": ("export", "tensorboard", *at, "--out", str(tmp_path / "copies"))}
    return (tracker if find_spec("tensorboard") else {}) | {
        "report": ("report", *at, "--json"),
        "columns": ("report", *at, "--columns", "mAP@ci95,rank,train_seconds", "--verify"),
        "matrix": ("report", *at, "--matrix"),
        "latex": ("report", *at, "--format", "latex"),
        "csv": ("report", *at, "--format", "csv"),
        "published": ("report", *at, "--published"),
        "list": ("list", "runs", *at),
        "show": ("show", str(run)),
        "compare": ("compare", *at, "--json"),
        "merge": ("merge", str(store), "--out", str(tmp_path / "merged")),
        "verify": ("verify", str(store)),
        "resume": ("resume", str(store)),
        "resume one": ("resume", str(run)),
    }


def odd_runs(store: Path, edits: int, seed: int) -> "list[tuple[Path, str, object]]":
    """Some changes of a JSON value in the files of the store's runs, one after another; each is undone by `undo`."""
    rng = random.Random(seed)
    folders = [run.folder for run in find_runs(store)]
    return [
        (folder, name, mutate(json.loads((folder / name).read_text()), rng))
        for _ in range(edits)
        for folder, name in [(rng.choice(folders), rng.choice(FILES))]
    ]


@pytest.fixture
def interrupted(real_store: Path) -> Path:
    """With one run that is not done, so that there is something to resume."""
    folder = next(real_store.glob("debug/er/*/seed1"))
    edit(folder, "status.json", lambda status: status.update(state="interrupted", reason="SIGTERM"))
    return real_store


@pytest.mark.parametrize("edits", [24, pytest.param(60 * TIMES, marks=pytest.mark.slow)])
def test_a_run_of_another_shape_costs_no_verb_its_end(
    clbench: CommandLine, interrupted: Path, tmp_path: Path, edits: int
) -> None:
    """JSON values that were changed, their sums made again."""
    rng = random.Random(edits)
    for number, (folder, name, value) in enumerate(odd_runs(interrupted, edits, edits)):
        aside = tmp_path / "aside"
        shutil.copytree(folder, aside)
        (folder / name).write_text(json.dumps(value))
        reseal(folder)
        every = verbs(interrupted, folder, tmp_path)
        for verb in rng.sample(list(every), 4):
            code, _, err = clbench(*every[verb])
            assert code in FOUND and "Traceback" not in err, f"{number} {verb} {name}: {code}\n{err}"
        shutil.rmtree(folder)
        aside.rename(folder)
        shutil.rmtree(tmp_path / "merged", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("edits", [4 * TIMES])
def test_the_whole_page_is_made_of_such_runs(
    clbench: CommandLine, real_store: Path, tmp_path: Path, edits: int
) -> None:
    for number, (folder, name, value) in enumerate(odd_runs(real_store, edits, edits)):
        good = (folder / name).read_bytes()
        (folder / name).write_text(json.dumps(value))
        reseal(folder)
        code, _, err = clbench("report", "--runs", str(real_store), "--out", str(tmp_path / "page"))
        assert code in FOUND and "Traceback" not in err, f"{number} {folder} {name}: {code}\n{err}"
        (folder / name).write_bytes(good)
        reseal(folder)


@pytest.mark.parametrize("flips", [300, pytest.param(1000 * TIMES, marks=pytest.mark.slow)])
def test_flipped_bits_of_recorded_attention_are_one_sentence(real_store: Path, flips: int) -> None:
    folder = next(real_store.glob("debug/dlfl/*/seed0"))
    (folder / "SHA256SUMS").unlink()
    file = folder / "attention.npz"
    good, rng, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(flips):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        file.write_bytes(bad)
        try:
            looked(Run(folder))
        except StoreError as error:
            refused += 1
            assert "attention.npz" in str(error)
    assert flips // 2 < refused < flips


def test_one_damaged_run_costs_its_place_and_not_the_report(clbench: CommandLine, real_store: Path) -> None:
    rows = json.loads(clbench("report", "--runs", str(real_store), "--json")[1])["rows"]
    bad = next(real_store.glob("debug/er/*/seed1"))
    (bad / "metrics.json").write_text("{")
    code, out, err = clbench("report", "--runs", str(real_store), "--json")
    found = json.loads(out)["rows"]
    assert code == 0 and len(found) == len(rows) and f"{bad}/metrics.json" in err and "It is left out." in err
    assert [row["damaged"] for row in found if row["strategy"] == "er" and row["scenario"] == "debug"] == [[1]]
    text = " ".join(clbench("report", "--runs", str(real_store))[1].split())
    assert "seed 1: left out, its folder is not as the run wrote it" in text
    shutil.rmtree(bad.with_name("seed0"))
    code, out, _ = clbench("report", "--runs", str(real_store), "--json")
    assert code == 0 and len(json.loads(out)["rows"]) == len(rows) - 1


def test_numbers_that_nobody_wrote_are_marked_and_those_recomputed_are_told_from_the_others(
    clbench: CommandLine, real_store: Path
) -> None:
    bad = next(real_store.glob("debug/er/*/seed1"))
    edit(bad, "metrics.json", lambda metrics: metrics["final"].update(mAP=0.99))
    code, out, _ = clbench("report", "--runs", str(real_store))
    assert code == 0 and "as the runs report them; --verify" in " ".join(out.split())
    code, out, err = clbench("report", "--runs", str(real_store), "--verify", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0 and "final.mAP (0.99 for" in err and all(row["recomputed"] for row in rows)
    assert [row["damaged"] for row in rows if row["damaged"]] == [[1]]
    text = " ".join(clbench("report", "--runs", str(real_store), "--verify")[1].split())
    assert "Numbers were computed again from the saved logits." in text
    (bad / "SHA256SUMS").unlink()
    text = " ".join(clbench("report", "--runs", str(real_store))[1].split())
    assert "seed 1: interrupted: without its SHA256SUMS" in text


def test_folders_that_are_no_runs_of_ours(clbench: CommandLine, real_store: Path) -> None:
    """A pipe, two spellings of a seed, a digit that is none, bytes that are no text, and what a terminal would obey."""
    run = next(real_store.glob("debug/er/*/seed0"))
    expected = clbench("report", "--runs", str(real_store))[1]
    for name in ("seed00", "seed²", "seed-1", "seed"):
        shutil.copytree(run, run.with_name(name))
    shutil.copytree(real_store / "debug", os.fsdecode(os.fsencode(real_store) + b"/\xff\xfe"))
    shutil.copytree(real_store / "debug", real_store / "\x1b[2Jdebug")
    code, out, err = clbench("report", "--runs", str(real_store))
    assert (code, out) == (0, expected) and "\x1b" not in err and r"\udcff\udcfe" in err and r"\x1b[2Jdebug" in err
    for arguments in (
        ("verify", str(real_store)),
        ("merge", str(real_store), "--out", "all"),
        ("resume", str(real_store)),
    ):
        assert clbench(*arguments)[0] in (0, 5)
    pipe = run.with_name("seed5")
    pipe.mkdir()
    os.mkfifo(pipe / "status.json")
    code, out, err = clbench("report", "--runs", str(real_store))
    assert code == 0 and "seed5/status.json to be there but got: it is no plain file" in err


def test_a_copied_run_is_shown_and_not_resumed(clbench: CommandLine, real_store: Path, tmp_path: Path) -> None:
    run = next(real_store.glob("debug/er/*/seed1"))
    shutil.copytree(run, tmp_path / "mine")
    edit(tmp_path / "mine", "status.json", lambda status: status.update(state="interrupted"))
    code, out, _ = clbench("show", str(tmp_path / "mine"))
    assert code == 0 and out.startswith("debug, er, seed 1\n") and run.parent.name in out
    code, _, err = clbench("resume", str(tmp_path / "mine"))
    assert code == 5 and "but it is a copy elsewhere" in err


def test_a_card_is_of_files_that_belong_together(clbench: CommandLine, real_store: Path) -> None:
    run = next(real_store.glob("debug/er/*/seed0"))
    edit(run, "config.json", lambda config: config["options"].pop("memory"))
    code, out, err = clbench("show", str(run))
    assert (code, out) == (5, "") and "options.memory is null, not an object" in err


def test_paths_that_are_too_long(clbench: CommandLine) -> None:
    long = "x" * 5000
    for arguments in (
        ("report", "--runs", long),
        ("show", long),
        ("verify", long),
        ("verify", "--against", long),
        ("merge", long),
        ("pack", long),
        ("cite", long),
        ("rerun", long, "--out", "again"),
        ("resume", long),
        ("compare", "--runs", long),
        ("report", "--out", long),
        ("run", "--scenario", "debug", "--strategy", "er", "--out", long),
    ):
        code, _, err = clbench(*arguments)
        assert code in (2, 5) and "Traceback" not in err, (arguments[0], code, err)


def test_a_reader_beside_a_rerun_says_who_has_the_run(clbench: CommandLine, real_store: Path) -> None:
    run = next(real_store.glob("debug/er/*/seed0"))
    with held(run):
        (run / "metrics.json").write_text("{}")
        code, _, err = clbench("report", "--runs", str(real_store))
    assert code == 0 and f"process {os.getpid()} on" in err and "wait for it" in err
    assert "--rerun" not in err and "remove" not in err
