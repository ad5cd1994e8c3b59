"""Every breach of the scenario's contract is found, and said."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clbench import Scenario, Task
from clbench.data.images import ArrayImages
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.builder import load_builder
from clbench.scenario.incremental import IncrementalOptions
from clbench.scenario.tasks import Drawn
from clbench.testing import check_scenario, check_seeded
from scenarios._debug_incremental import DebugIncremental


def debug(name: str = "debug") -> Scenario:
    return build_scenario(resolve(name, "finetune"))


def with_first(change: Callable[[Task], Task], name: str = "debug") -> Scenario:
    scenario = debug(name)
    return replace(scenario, tasks=(change(scenario[0]), *scenario[1:]))


def flipped(task: Task, column: int) -> Task:
    labels = task.labels.copy()
    labels[:, column] = 1 - labels[:, column]
    return replace(task, labels=labels)


def known_to_the_end(task: Task) -> Task:
    return replace(task, known=np.ones_like(task.known))


class Twice(Scenario):
    """Gives other tasks each time."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter([replace(task) for task in self.tasks])


def floats() -> Scenario:
    scenario = debug()

    class Floats(ArrayImages):
        def read(self, indices):  # type: ignore[no-untyped-def]
            return super().read(indices).float()

    return replace(scenario, images=Floats(np.zeros((len(scenario.ids), 3, 8, 8), np.uint8)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Twice(**vars(debug())), "iterating twice must give the same tasks"),
        (lambda: with_first(lambda t: replace(t, test=t.train[:2])), "in both training and test"),
        (lambda: with_first(lambda t: replace(t, classes=(0, 1, 2))), "introduced by one task only"),
        (lambda: with_first(lambda t: replace(t, test=t.test[:0])), "must have training and test images"),
        (lambda: with_first(lambda t: replace(t, labels=t.labels + 1)), "labels must be 0 or 1"),
        (lambda: with_first(lambda t: flipped(t, 0)), "a visible label must be a true one"),
        (lambda: with_first(lambda t: replace(t, labels=t.labels * 0)), "shown as known must be the true one"),
        (lambda: replace(debug(), protocol={}), "the protocol must name its axis 'images'"),
        (floats, r"images must be uint8 \(B, 3, S, S\)"),
        (lambda: with_first(lambda t: replace(t, labels=t.labels * 0), "debug-incremental"), "must show its classes"),
        (lambda: with_first(known_to_the_end, "debug-incremental"), "nothing may be said of classes to come"),
        (
            lambda: with_first(lambda t: replace(t, known=np.zeros_like(t.known)), "debug-incremental"),
            "its own labels must be known",
        ),
    ],
)
def test_a_breach_is_found(make: Callable[[], Scenario], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_scenario(make())


@pytest.mark.parametrize("name", ["debug", "debug-incremental"])
def test_the_hidden_scenarios_keep_it(name: str) -> None:
    check_scenario(debug(name))


BY_SEED = IncrementalOptions(order="seed")


class Breach(DebugIncremental):
    """Drawn from the seed, but for what a class below it says of the scenario."""

    def changed(self, scenario: Scenario) -> Scenario:
        return scenario

    def build(self) -> Scenario:
        return self.changed(super().build())


class Unsaid(Breach):
    def changed(self, scenario: Scenario) -> Scenario:
        return replace(scenario, drawn=None)


class Several(Breach):
    def changed(self, scenario: Scenario) -> Scenario:
        return replace(scenario, drawn=Drawn(self.seed, f"source of {self.seed}"))


class Uneven(Breach):
    def changed(self, scenario: Scenario) -> Scenario:
        return replace(scenario, protocol={**scenario.protocol, "threshold": f"0.{self.seed + 1}"})


class Deaf(Breach):
    """Draws the same tasks whatever the seed."""

    @property
    def order(self) -> str:
        return "random:0"


class Restless(Breach):
    """Draws other tasks each time."""

    times = 0

    @property
    def order(self) -> str:
        Restless.times += 1
        return f"random:{Restless.times}"

    def tasks(self) -> Any:
        return None

    def task_classes(self, collection: object) -> tuple[tuple[str, ...], ...]:
        tasks: tuple[tuple[str, ...], ...] = super().tasks()
        return tasks


class Misleading(Breach):
    """Names other tasks than it builds."""

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        return super().tasks()[::-1]

    def task_classes(self, collection: object) -> tuple[tuple[str, ...], ...]:
        return self.tasks()[::-1]


@pytest.mark.parametrize(
    ("builder", "sentence"),
    [
        (DebugIncremental(), "must say that it is seeded"),
        (Unsaid(BY_SEED), "seed 0: the scenario must say what has drawn it"),
        (Misleading(BY_SEED), r"seed 0: tasks\(\) must be those that are built"),
        (Restless(BY_SEED), "seed 0: the same seed must draw the same again"),
        (Deaf(BY_SEED), "other seeds must draw other tasks"),
        (Several(BY_SEED), "every seed must have the same source"),
        (Uneven(BY_SEED), "every seed must have the same protocol"),
    ],
)
def test_a_breach_of_a_seeded_builder_is_found(builder: DebugIncremental, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_seeded(builder)


@pytest.mark.parametrize("images", ["overlapping", "disjoint", "exclusive"])
def test_the_hidden_scenario_keeps_it_where_it_is_drawn_from_the_seed(images: str) -> None:
    check_seeded(load_builder("debug-incremental").configured(IncrementalOptions(order="seed", images=images)))
