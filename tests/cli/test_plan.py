import json
from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[..., tuple[int, str, str]]
GRID = ("--scenario", "debug", "--device", "cpu")


@pytest.mark.slow
def test_a_plan_tells_states_and_time_and_writes_nothing(clbench: CommandLine, tmp_path: Path) -> None:
    plan = ("plan", *GRID, "--strategy", "er", "--memory", "default,prs", "--seed", "0..2")
    code, out, err = clbench(*plan)
    assert code == 0 and "building debug" in err and not (tmp_path / "results").exists()
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["6", "run(s)", "in", "results/runs:", "6", "new"]
    assert lines[3][:3] == ["debug/er", "0..2", "new"] and lines[3][-1] == "timed"
    assert [line[0] for line in lines if line and line[0].isdigit()] == ["6", "1", "2", "4", "6"]
    clbench("run", *GRID, "--strategy", "er", "--seed", "0,1")
    cells = json.loads(clbench(*plan, "--json")[1])["cells"]
    assert [each["state"] for each in cells] == ["done", "done", "new", "new", "new", "new"]
    assert [each["from"] for each in cells[:4]] == ["2 runs", "2 runs", "2 runs", "timed"]
    assert cells[0]["seconds_left"] == 0.0 and cells[2]["seconds"] == pytest.approx(cells[0]["seconds"])
    assert cells[3]["cell"] == "debug/er (memory=prs) seed 0" and cells[3]["memory_bytes"] > 2**20
    assert not Path(cells[3]["folder"]).exists() and cells[3]["spec"]["memory"] == "prs"


def test_data_that_are_not_there_are_told_with_their_code(clbench: CommandLine, tmp_path: Path) -> None:
    data = ("--scenario", "coco-seq", "--data-root", "nowhere", "--set", "splits=rule")
    code, out, err = clbench("plan", *data, "--strategy", "er", "--json")
    assert code == 3 and "coco-seq/er (splits=rule) seed 0: " in err
    document = json.loads(out)
    assert document["cells"] == [] and document["totals"] == [] and len(document["failed"]) == 1
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_told_first(clbench: CommandLine) -> None:
    code, out, err = clbench("plan", "--scenario", "debug", "--device", "tpu")
    assert (code, out) == (2, "") and "Expected --device to be" in err and "building" not in err
