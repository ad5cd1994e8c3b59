from dataclasses import replace

import numpy as np
import pytest

from clbench import Scenario, Task
from clbench.scenario.builder import load_builder
from clbench.scenario.tasks import Drawn, called
from clbench.testing import check_scenario


@pytest.fixture
def scenario() -> Scenario:
    return load_builder("debug").build()


def test_a_scenario_is_an_immutable_sequence(scenario: Scenario) -> None:
    assert len(scenario) == 3
    assert list(scenario) == [scenario[0], scenario[1], scenario[2]] == list(scenario[:])
    assert [(a.name, b.name) for a in scenario for b in scenario][:4] == [
        ("0", "0"),
        ("0", "1"),
        ("0", "2"),
        ("1", "0"),
    ]
    for array in (scenario.labels, scenario[0].train, scenario[0].labels, scenario[0].known, scenario[0].test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_test_indices_hold_every_test_image_once_in_task_order(scenario: Scenario) -> None:
    shared = replace(scenario[1], test=np.concatenate([scenario[0].test[:1], scenario[1].test]))
    overlapping = replace(scenario, tasks=(scenario[0], shared, scenario[2]))
    assert overlapping.test_indices().tolist() == [7, 8, 9, 17, 18, 19, 27, 28, 29]


def test_joined_is_one_task_with_full_labels(scenario: Scenario) -> None:
    hidden = replace(scenario[0], labels=np.zeros_like(scenario[0].labels), known=np.zeros_like(scenario[0].known))
    joined = replace(scenario, tasks=(hidden, *scenario[1:])).joined()
    assert len(joined) == 1
    assert joined[0].classes == (0, 1, 2, 3, 4, 5)
    assert sorted(joined[0].train.tolist()) == sorted(i for task in scenario for i in task.train.tolist())
    assert np.array_equal(joined[0].labels, scenario.labels[joined[0].train])
    assert joined[0].known.all()


def test_the_manifest_hash_sees_every_part(scenario: Scenario) -> None:
    first = scenario[0]
    flipped = scenario.labels.copy()
    flipped[first.test[0], 0] ^= 1
    swapped = (first, *scenario[1:])[::-1]
    changed: dict[str, Scenario] = {
        "ids": replace(scenario, ids=("x", *scenario.ids[1:])),
        "test labels": replace(scenario, labels=flipped),
        "visible labels": _with_first(scenario, replace(first, labels=1 - first.labels)),
        "masks": _with_first(scenario, replace(first, known=~first.known)),
        "train order": _with_first(
            scenario, replace(first, train=first.train[::-1].copy(), labels=first.labels[::-1].copy())
        ),
        "task order": replace(scenario, tasks=swapped),
        "class names": replace(scenario, classes=("z", *scenario.classes[1:])),
        "groups": replace(scenario, groups={}),
    }
    changed["ids"] = replace(
        changed["ids"], tasks=(replace(first, train=np.array([0, *first.train[1:]])), *scenario[1:])
    )
    hashes = {name: other.manifest()["hash"] for name, other in changed.items()}
    assert scenario.manifest()["hash"] not in hashes.values()
    assert len(set(hashes.values())) == len(hashes)


def _with_first(scenario: Scenario, task: Task) -> Scenario:
    return replace(scenario, tasks=(task, *scenario[1:]))


def test_shapes_must_agree(scenario: Scenario) -> None:
    with pytest.raises(ValueError, match="labels and known of one shape with 7 rows"):
        replace(scenario[0], labels=scenario[0].labels[:3])
    with pytest.raises(ValueError, match=r"labels of shape \(32, 6\) but got \(31, 6\)"):
        replace(scenario, labels=scenario.labels[:31])


def test_check_scenario_finds_breaches(scenario: Scenario) -> None:
    first = scenario[0]
    labels = first.labels.copy()
    labels[0, 5] = 1  # false: image 0 has no label of task 2
    breaches = {
        "no image may be in both": replace(first, test=first.train[:2]),
        "visible label must be a true one": replace(first, labels=labels),
        "must be the true one unless": replace(first, labels=np.zeros_like(first.labels)),
        "introduced by one task only": replace(first, classes=(0, 1, 2)),
    }
    for sentence, task in breaches.items():
        with pytest.raises(AssertionError, match=sentence):
            check_scenario(_with_first(scenario, task))


def test_what_has_drawn_the_tasks_stands_in_the_manifest_and_not_in_its_hash(scenario: Scenario) -> None:
    plain, drawn = scenario.manifest(), replace(scenario, drawn=Drawn(3, "ab")).manifest()
    assert drawn == plain | {"drawn": {"seed": 3, "source": "ab"}} and "drawn" not in plain


def test_people_are_told_of_a_task_by_its_place_from_one() -> None:
    assert called(0, "0") == "task 1" and called(3, "3") == "task 4"
    assert called(1, "3") == "task 2 (named 3)" and called(0, "winter") == "task 1 (named winter)"
