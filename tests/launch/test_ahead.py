from pathlib import Path

import pytest
import torch

from clbench.launch.ahead import Ahead
from clbench.launch.cells import Builder, Cell, LaunchListener, run_all
from clbench.launch.spec import Spec
from clbench.running.execute import How

CPU = torch.device("cpu")


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    builder = Builder(LaunchListener())
    specs = [Spec("debug", name, seed=seed, out=tmp_path) for name in ("er", "finetune") for seed in (0, 1)]
    return [builder.cell(spec, spec.config()) for spec in specs]


def test_of_what_nobody_knows_at_least_the_present_run_is_told(cells: list[Cell]) -> None:
    ahead = Ahead()
    ahead.planned(cells, CPU)
    assert ahead.runs == 4 and ahead.behind(cells[0].folder)(120.0) == "at least 2.0 min of 4 runs"


def test_runs_that_are_done_tell_of_others_and_are_no_more_counted(cells: list[Cell]) -> None:
    ahead = Ahead()
    ahead.planned(cells, CPU)
    [run] = run_all([cells[0].spec], How("cpu"), listener=LaunchListener()).runs
    ahead.over(cells[0].folder, run)
    assert ahead.behind(cells[1].folder)(7.0) == "at least 7 s of 3 runs"  # finetune is another kind
    for cell in cells[2:]:
        ahead.over(cell.folder)
    assert ahead.behind(cells[1].folder)(7.0) == "7 s of the run"
    again = Ahead()  # the next time, the store tells
    again.planned(cells[:2], CPU)
    assert again.behind(cells[1].folder)(7.0) == "7 s of the run"
    took = sum(run.metrics["cost"]["train_seconds"]) + sum(run.metrics["cost"]["eval_seconds"])
    again.planned([*cells[:2], cells[1]], CPU)
    assert took < 60 and again.behind(Path("another"))(7.0) == f"{7 + took:.0f} s of 2 runs"
