from pathlib import Path

import pytest

from clbench.errors import UsageError
from clbench.launch.cells import LaunchListener
from clbench.launch.launcher import LAUNCHERS, Workers, launcher
from clbench.launch.spec import Spec
from clbench.running.execute import How


def test_serial_is_one_run_after_another_in_this_process(tmp_path: Path) -> None:
    specs = [Spec("debug", "finetune", out=tmp_path), Spec("debug", "er", out=tmp_path)]
    outcome = launcher("serial")(specs, How("cpu"), listener=LaunchListener())
    assert [run.strategy for run in outcome.runs] == ["finetune", "er"]


def test_a_launcher_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="Unknown launcher 'lokal'; did you mean 'local'"):
        launcher("lokal")
    assert list(LAUNCHERS)[0] == "serial"


@pytest.mark.parametrize("workers", [Workers(2), Workers(devices=("cpu", "cpu"))], ids=str)
def test_serial_has_one_worker(workers: Workers) -> None:
    with pytest.raises(
        UsageError,
        match="^Expected no --jobs and --devices with --launcher serial but got some; use --launcher local.$",
    ):
        launcher("serial", workers)
