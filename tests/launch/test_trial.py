from pathlib import Path
from typing import Any

import pytest
import torch

from clbench.arrays import IntArray
from clbench.launch import trial
from clbench.launch.cells import Builder, Cell, LaunchListener
from clbench.launch.plan import load_of
from clbench.launch.spec import Spec
from clbench.launch.trial import STEPS, TASKS, Clock, timed
from clbench.learning.strategy import Strategy
from clbench.scenario.tasks import Scenario

CPU = torch.device("cpu")


def built(tmp_path: Path, strategy: str, **options: Any) -> Cell:
    spec = Spec("debug", strategy, out=tmp_path, **options)
    return Builder(LaunchListener()).cell(spec, spec.config())


@pytest.mark.parametrize("strategy", ["finetune", "er", "ewc", "joint"])
def test_first_steps_are_few_and_leave_nothing_behind(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, observed = built(tmp_path, strategy), []
    observe = Strategy.observe

    def counted(self: Strategy, batch: Any) -> Any:
        observed.append(len(batch))
        return observe(self, batch)

    monkeypatch.setattr(Strategy, "observe", counted)
    found = timed(cell.prepared, load_of(cell, CPU), 0, CPU, 0)
    assert 0 < len(observed) <= STEPS * TASKS
    assert (
        found.timed and found.learning > 0 and found.scoring > 0 and found.features == 0 and found.memory_bytes > 2**20
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("strategy", "images"), [("finetune", 3 * 9), ("joint", 9)])
def test_scores_are_those_of_every_evaluation(
    strategy: str, images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all test images after each task, or once; each takes what it takes in the trial: here a second."""
    cell, now = built(tmp_path, strategy), [0.0]

    def evaluated(learner: Strategy, scenario: Scenario, indices: IntArray, batch_size: int) -> None:
        now[0] += len(indices)

    monkeypatch.setattr(trial, "evaluate", evaluated)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert timed(cell.prepared, load_of(cell, CPU), 0, CPU, 0).scoring == images


def test_maps_of_a_frozen_backbone_are_counted_for_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = built(tmp_path, "er", settings={"freeze": "backbone", "batch_size": 1})
    heard: list[float] = []
    ready = Clock.features_ready

    def kept(self: Clock, seconds: float) -> None:
        heard.append(seconds)
        ready(self, seconds)

    monkeypatch.setattr(Clock, "features_ready", kept)
    found = timed(cell.prepared, load_of(cell, CPU), 0, CPU, 0)
    scenario = cell.prepared.scenario
    assert found.features == pytest.approx(heard[0] * (21 + 9) / (3 * STEPS + 9)) and len(scenario) == 3
    assert not list(tmp_path.iterdir())
