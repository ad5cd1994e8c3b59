import numpy as np
import pytest

from clbench import Scenario
from clbench.learning.stage import stages
from clbench.running.build import build_scenario
from clbench.running.config import resolve


def built(name: str, **settings: object) -> Scenario:
    return build_scenario(resolve(name, "finetune", settings=settings))


def test_a_stage_tells_what_has_been_introduced() -> None:
    found = list(stages(built("debug"), [4, 5, 6]))
    assert [(stage.number, stage.steps) for stage in found] == [(0, 4), (1, 5), (2, 6)]
    assert [stage.seen for stage in found] == [(0, 1), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)]
    assert [stage.old for stage in found] == [(), (0, 1), (0, 1, 2, 3)]
    assert [stage.columns for stage in found] == [2, 4, 6]
    assert all(stage.replay is None for stage in found)


@pytest.mark.parametrize("name", ["debug", "debug-incremental"])
def test_its_task_is_the_scenarios_but_for_the_test_images(name: str) -> None:
    scenario = built(name)
    for stage, task in zip(stages(scenario, [1] * len(scenario)), scenario, strict=True):
        assert len(stage.task.test) == 0 < len(task.test)
        assert (stage.task.name, stage.task.classes) == (task.name, task.classes)
        for array in ("train", "labels", "known"):
            assert np.array_equal(getattr(stage.task, array), getattr(task, array))


@pytest.mark.parametrize("policy", ["frozen", "forward", "full"])
def test_what_stored_samples_may_say_is_all_of_the_truth_that_it_has(policy: str) -> None:
    scenario = built("debug-incremental", replay_labels=policy)
    for stage in stages(scenario, [1] * len(scenario)):
        assert stage.replay is not None
        shown, allowed = stage.replay.truth, np.zeros((len(scenario.ids), stage.columns), np.bool_)
        for task in scenario[: stage.number + 1] if policy != "frozen" else ():
            allowed[task.train, task.classes[0] if policy == "forward" else 0 :] = True
        assert np.array_equal(shown, np.where(allowed, scenario.labels[:, : stage.columns], 0))
        assert shown.any() == (policy != "frozen")
