import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sealing import edit

from clbench.store.folder import find_runs, run_name

CommandLine = Callable[..., tuple[int, str, str]]


def test_every_finished_run_is_packed_and_named(clbench: CommandLine, real_store: Path) -> None:
    code, out, err = clbench("pack", str(real_store))
    names = [run_name(run) for run in find_runs(real_store)]
    assert code == 0 and out.splitlines() == names
    assert err.startswith(f"{len(names)} run(s) in {real_store}.zip, 0.") and "0 not done and 0 damaged left out" in err
    code, out, err = clbench("verify", f"{real_store}.zip")
    assert (code, out) == (0, "") and err.startswith(f"{len(names)} run(s): {len(names)} recomputed, 0 not done")


def test_what_is_left_out_is_said_and_what_is_damaged_ends_with_5(clbench: CommandLine, real_store: Path) -> None:
    half, bad = (next(real_store.glob(f"debug/er/*/seed{seed}")) for seed in (0, 1))
    edit(half, "status.json", lambda status: status.update(state="interrupted"))
    code, _, err = clbench("pack", str(real_store), "--out", "half.zip")
    assert code == 0 and f"left out, 0.0 MB: {'/'.join(half.parts[-4:])}: interrupted\n" in err
    (bad / "metrics.json").write_text("{}")
    code, out, err = clbench("pack", str(real_store), "--out", "bad.zip", "--json")
    document = json.loads(out)
    assert code == 5 and list(document["damaged"]) == ["/".join(bad.parts[-4:])] and document["archive"] == "bad.zip"
    assert list(document["unfinished"].values()) == ["interrupted"] and len(document["packed"]) == 4
    assert document["sizes"].keys() == document["damaged"].keys() | document["unfinished"].keys()
    assert clbench("verify", "bad.zip")[0] == 0


def test_filters(clbench: CommandLine, real_store: Path) -> None:
    code, out, _ = clbench("pack", str(real_store), "--scenario", "debug", "--strategy", "er", "--out", "er.zip")
    assert code == 0 and [line.rpartition("/")[2] for line in out.splitlines()] == ["seed0", "seed1"]
    assert all(line.startswith("debug/er/") for line in out.splitlines())


@pytest.mark.parametrize("arguments", [("--scenario", "nothing"), ("--out", "there.zip")])
def test_nothing_is_written_where_it_cannot_be(
    clbench: CommandLine, real_store: Path, tmp_path: Path, arguments: tuple[str, str]
) -> None:
    (tmp_path / "there.zip").write_text("precious")
    code, out, err = clbench("pack", str(real_store), *arguments)
    assert (code, out) == (5, "") and err.startswith("clbench: Expected ")
    assert (tmp_path / "there.zip").read_text() == "precious" and not Path(f"{real_store}.zip").exists()
