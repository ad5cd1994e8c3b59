import numpy as np
import pytest

from clbench import Scenario
from clbench.errors import UsageError
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.views import canonical, first, limited, seen_through


@pytest.fixture
def scenario() -> Scenario:
    return build_scenario(resolve("debug", "finetune"))


def test_limited_takes_a_fixed_subset(scenario: Scenario) -> None:
    few = limited(scenario, 2)
    for task, whole in zip(few, scenario, strict=True):
        assert len(task.train) == len(task.labels) == len(task.known) == len(task.test) == 2
        assert set(task.train) <= set(whole.train) and set(task.test) <= set(whole.test)
        assert np.array_equal(task.labels, scenario.labels[task.train])
    assert few.manifest()["hash"] == limited(scenario, 2).manifest()["hash"] != scenario.manifest()["hash"]
    assert few.notes == ("limited to 2 training and 2 test images of each task",)
    assert [len(task.train) for task in limited(scenario, 1000)] == [7, 7, 7]


def test_first_is_a_scenario_of_fewer_tasks(scenario: Scenario) -> None:
    two = first(scenario, 2)
    assert two.tasks == scenario.tasks[:2] and two.num_classes == scenario.num_classes
    assert two.notes == ("the first 2 of 3 tasks",)
    assert first(scenario, 3) is scenario
    with pytest.raises(UsageError, match="at most the 3 tasks that debug has but got first:4"):
        first(scenario, 4)


def test_views_are_taken_one_after_another(scenario: Scenario) -> None:
    seen = seen_through(scenario, "first:2+limited:3")
    assert [len(task.train) for task in seen] == [3, 3]
    assert seen_through(scenario, "all") is scenario


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("all", "all"),
        ("limited:040", "limited:40"),
        (" first:2 + limited:3 ", "first:2+limited:3"),
        ("all+first:1", "first:1"),
        ("validation", "validation:0.1"),
        ("validation:.2500 + first:2", "validation:0.25+first:2"),
        ("limited:9+validation:0.0001", "limited:9+validation:0.0001"),
    ],
)
def test_one_text_for_one_view(text: str, one: str) -> None:
    assert canonical(text) == one == canonical(one)


@pytest.mark.parametrize("text", ["validation:0.1+validation:0.2", "validation+first:2+validation"])
def test_one_validation_set_is_enough(text: str) -> None:
    with pytest.raises(UsageError, match="Expected one validation set in a view"):
        canonical(text)


NO_VIEWS = ["", "limited", "limited:0", "first:-1", "first:1.5", "first:٢", "all+", "All"]
NO_SHARES = ["validation:", "validation:0", "validation:0.0", "validation:1", "validation:1.0", "validation:0.00001"]


@pytest.mark.parametrize("text", [*NO_VIEWS, *NO_SHARES, "validation:-.1", "validation:1e-1", "validation:.١"])
def test_no_such_view(text: str) -> None:
    with pytest.raises(UsageError, match="Expected a view, all, limited:N, first:K"):
        canonical(text)


@pytest.mark.parametrize("view", ["limited:3", "first:2", "validation:0.3", "first:2+limited:3"])
def test_a_view_of_a_drawn_scenario_is_drawn(view: str) -> None:
    seen = build_scenario(resolve("debug-incremental", "finetune", view=view, settings={"order": "seed"}), None, 4)
    whole = build_scenario(resolve("debug-incremental", "finetune", settings={"order": "seed"}), None, 4)
    assert seen.drawn == whole.drawn and seen.drawn is not None and seen.drawn.seed == 4
