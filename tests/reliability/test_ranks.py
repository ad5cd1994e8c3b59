"""Two processes that share a run, from the command line: what it comes to when one of them does not go on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from once import once
from shared_commands import RUN

from clbench.store.checkpoint import MANIFEST
from clbench.store.folder import CHECKPOINTS, DONE, FAILED, INTERRUPTED, RUNNING, Run, find_runs

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "helpers" / "shared_commands.py"
GOES_ON = "the same command goes on from the last checkpoint"


class Story(NamedTuple):
    folder: Path
    codes: dict[str, list[int]]

    def said(self, name: str, rank: int) -> str:
        return "".join((self.folder / f"{name}.{rank}.{stream}").read_text() for stream in ("out", "err"))

    def run(self, out: str) -> Run:
        [run] = find_runs(self.folder / out)
        return run


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    def make(folder: Path) -> None:
        # As the command line sets it before torch is imported; here they are forked from a process that has torch.
        quiet = {**os.environ, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        subprocess.run([sys.executable, SCRIPT, folder], check=True, stdout=subprocess.DEVNULL, env=quiet)

    folder = once(tmp_path_factory, "shared-commands", make)
    return Story(folder, json.loads((folder / "codes.json").read_text()))


def test_the_first_process_alone_writes_and_speaks(story: Story) -> None:
    assert story.codes["whole"] == [0, 0]
    run = story.run("whole")
    assert run.state == DONE and run.env["ranks"] == 2
    assert run.config["identity"]["options"]["train"]["ranks"] == run.config["changed"]["ranks"] == 2
    assert "shared by 2 processes" in story.said("whole", 0) and not story.said("whole", 1)


@pytest.mark.parametrize("name", ["killed", "terminated"])
def test_a_run_goes_on_to_the_same_bits(story: Story, name: str) -> None:
    code = {"killed": [1, -9], "terminated": [143, 143]}[name]
    assert [story.codes[name], story.codes[f"{name} again"]] == [code, [0, 0]]
    assert "going on after step" in story.said(f"{name} again", 0)
    whole, run = story.run("whole"), story.run(name)
    assert run.state == DONE
    for task in range(3):
        np.testing.assert_array_equal(run.array(f"task{task}"), whole.array(f"task{task}"), strict=True)
    assert (run.folder / "events.jsonl").read_bytes() == (whole.folder / "events.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "codes", "speaker", "why"),
    [
        ("killed", [1, -9], 0, "process 1 has ended"),
        ("hangs", [1, -9], 0, "process 1 has not answered for 10 s"),
        ("first killed", [-9, 1], 1, "process 0 has ended"),
        ("errs", [1, 3], 0, "process 1 has ended: Expected an image but got none"),
    ],
)
def test_who_is_left_ends_with_one_sentence(story: Story, name: str, codes: list[int], speaker: int, why: str) -> None:
    assert story.codes[name] == codes
    said = f"Expected all 2 processes of this run to go on but {why}; {GOES_ON}."
    assert said in story.said(name, speaker) and "Expected" not in story.said(name, 1 - speaker)
    assert not any("Traceback" in story.said(name, rank) for rank in range(2))


@pytest.mark.parametrize(("name", "state"), [("hangs", INTERRUPTED), ("errs", INTERRUPTED), ("first killed", RUNNING)])
def test_it_is_recorded_and_its_checkpoints_stay(story: Story, name: str, state: str) -> None:
    run = story.run(name.partition(" ")[0])
    assert run.state == state
    assert list((run.folder / CHECKPOINTS).glob(f"*/{MANIFEST}"))


def test_processes_that_decide_otherwise_are_found_out(story: Story) -> None:
    assert story.codes["draws"] == [1, 1]
    said = "Expected the 2 processes of this run to have the same replay after task 2 but they have drifted apart"
    assert said in story.said("draws", 0) and story.run("draws").state == FAILED


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dropout", "Expected a model that draws nothing while it learns, for 2 processes would"),
        ("unshareable", "Expected one run for the processes that torchrun started but got 2"),
        ("listed", "Expected clbench list in one process but torchrun started 2"),
    ],
)
def test_what_cannot_be_shared_is_refused_once(story: Story, name: str, why: str) -> None:
    assert story.codes[name] == [2, 2]
    assert why in story.said(name, 0) and not story.said(name, 1)


def test_torchrun_starts_them(story: Story, tmp_path: Path) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "clbench")
    environment = os.environ | {"CLBENCH_OUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*torchrun, *RUN], cwd=story.folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    [run] = find_runs(tmp_path)
    np.testing.assert_array_equal(run.array("task2"), story.run("whole").array("task2"), strict=True)
