"""What every scenario must do."""

from collections.abc import Hashable

import numpy as np
import torch

from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.tasks import Scenario

SEEDS = (0, 1, 2)
"""Seeds that a builder is tried on."""


def check_scenario(scenario: Scenario) -> None:
    """Disjoint train and test, labels that are true or hidden, named axes, repeatable iteration and manifest."""
    assert len(scenario) == len(list(scenario)) == len(scenario[:]), "len, iteration and slicing must agree"
    for first, second in zip(scenario, scenario, strict=True):
        assert first is second, "iterating twice must give the same tasks"
    train = np.concatenate([task.train for task in scenario])
    test = scenario.test_indices()
    assert not np.intersect1d(train, test).size, "no image may be in both training and test"
    assert len(np.unique(test)) == len(test), "test_indices must give every image once"
    introduced = [c for task in scenario for c in task.classes]
    assert len(set(introduced)) == len(introduced), "a class must be introduced by one task only"
    for number, task in enumerate(scenario, start=1):
        assert len(task.train) and len(task.test), f"task {number} must have training and test images"
        assert set(np.unique(task.labels)) <= {0, 1}, f"task {number}: labels must be 0 or 1"
        truth = scenario.labels[task.train]
        assert not (task.labels > truth).any(), f"task {number}: a visible label must be a true one"
        shown = task.known & (task.labels != truth)
        assert scenario.protocol.get("missing") == "negative" or not shown.any(), (
            f"task {number}: a label shown as known must be the true one unless missing labels count as negatives"
        )
    if scenario.growing:
        _check_growing(scenario)
    for axis in ("images", "missing", "replay_labels", "eval_images", "threshold", "class order"):
        assert axis in scenario.protocol, f"the protocol must name its axis {axis!r}"
    pixels = scenario.images.read(test[:2])
    size = scenario.images.size
    assert pixels.dtype == torch.uint8 and pixels.shape == (len(test[:2]), 3, size, size), (
        "images must be uint8 (B, 3, S, S)"
    )
    assert scenario.manifest() == scenario.manifest(), "the manifest must be repeatable"


def check_seeded(builder: ScenarioBuilder) -> None:
    """A builder whose tasks are drawn from the seed: `check_scenario` for some, repeatable, other tasks, one source."""
    assert builder.seeded, "the builder must say that it is seeded"
    built = {seed: builder.of_seed(seed).build() for seed in SEEDS}
    for seed, scenario in built.items():
        check_scenario(scenario)
        assert scenario.drawn and scenario.drawn.seed == seed, f"seed {seed}: the scenario must say what has drawn it"
        again = builder.of_seed(seed)
        assert again.tasks() in (None, _names(scenario)), f"seed {seed}: tasks() must be those that are built"
        assert again.build().manifest() == scenario.manifest(), f"seed {seed}: the same seed must draw the same again"
    assert len({_names(scenario) for scenario in built.values()}) > 1, "other seeds must draw other tasks"
    for what in _shared(built[SEEDS[0]]):
        assert len({_shared(scenario)[what] for scenario in built.values()}) == 1, (
            f"every seed must have the same {what}"
        )


def _shared(scenario: Scenario) -> dict[str, Hashable]:
    """What the runs of one row of a table have in common, whatever their seeds have drawn."""
    return {
        "source": scenario.drawn.source if scenario.drawn else None,
        "name": scenario.name,
        "protocol": tuple(scenario.protocol.items()),
        "classes": tuple(sorted(scenario.classes)),
        "sizes of tasks": tuple(len(task.classes) for task in scenario),
        "names of groups": tuple(scenario.groups),
    }


def _names(scenario: Scenario) -> tuple[tuple[str, ...], ...]:
    """Class names per task."""
    return tuple(tuple(scenario.classes[c] for c in task.classes) for task in scenario)


def _check_growing(scenario: Scenario) -> None:
    """Every image of a task shows one of its classes, and nothing is said of classes to come."""
    for number, task in enumerate(scenario, start=1):
        columns, seen = list(task.classes), task.classes[-1] + 1
        assert task.labels[:, columns].any(axis=1).all(), f"task {number}: every training image must show its classes"
        assert not np.delete(task.labels, columns, axis=1).any() or scenario.protocol["images"] == "exclusive", (
            f"task {number}: labels of other tasks must not be shown"
        )
        assert task.known[:, columns].all(), f"task {number}: its own labels must be known"
        assert not task.known[:, seen:].any(), f"task {number}: nothing may be said of classes to come"
