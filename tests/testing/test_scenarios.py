"""Every breach of the scenario's contract is found, and said."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from clbench import Scenario, Task
from clbench.data.images import ArrayImages
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.testing import check_scenario


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
