"""The contracts as a test kit: what every scenario, memory and strategy must do, for our plugins and for anybody's.

    from clbench.testing import check_strategy

    def test_my_strategy() -> None:
        check_strategy("my-strategy")

Each function raises AssertionError with a sentence that says what was broken.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from clbench import plugins
from clbench.config import resolve
from clbench.memory import NOT_STORED
from clbench.randomness import generator
from clbench.runner import Prepared, build_scenario, build_strategy
from clbench.scenario import Scenario
from clbench.strategy import Strategy
from clbench.trainer import stream, train

STEPS = 4
"""Batches that a strategy is shown of each task."""


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
    for task in scenario:
        assert len(task.train) and len(task.test), f"task {task.name} must have training and test images"
        assert set(np.unique(task.labels)) <= {0, 1}, f"task {task.name}: labels must be 0 or 1"
        truth = scenario.labels[task.train]
        assert not (task.labels > truth).any(), f"task {task.name}: a visible label must be a true one"
        shown = task.known & (task.labels != truth)
        assert scenario.protocol.get("missing") == "negative" or not shown.any(), (
            f"task {task.name}: a label shown as known must be the true one unless missing labels count as negatives"
        )
    for axis in ("images", "missing", "replay_labels", "eval_images", "threshold", "class order"):
        assert axis in scenario.protocol, f"the protocol must name its axis {axis!r}"
    pixels = scenario.images.read(test[:2])
    size = scenario.images.size
    assert pixels.dtype == torch.uint8 and pixels.shape == (len(test[:2]), 3, size, size), (
        "images must be uint8 (B, 3, S, S)"
    )
    assert scenario.manifest() == scenario.manifest(), "the manifest must be repeatable"


def check_memory(name: str, *, size: int = 20, classes: int = 6, items: int = 300) -> None:
    """Capacity, rows that belong together, seeds, distinct slots, and an exact state round trip."""
    policy = plugins.load("memory", name)

    def make(seed: int = 0) -> Any:
        return policy(policy.Options(size=size), classes, generator(seed, "memory"))

    rng = generator(1, "check_memory")
    labels = (rng.random((items, classes)) < np.linspace(0.6, 0.05, classes)).astype(np.uint8)
    known = rng.random((items, classes)) < 0.8
    memory, twin = make(), make()
    for start in range(0, items, 7):
        rows = np.arange(start, min(start + 7, items))
        slots = memory.update(rows, labels[rows], known[rows])
        assert slots.shape == rows.shape and ((slots == NOT_STORED) | (slots < size)).all(), "update must give slots"
        assert len(memory) <= size, "a memory must not exceed its capacity"
    twin.update(np.arange(items), labels, known)
    assert np.array_equal(memory.indices, twin.indices), "the same stream and seed must give the same content"
    assert np.array_equal(memory.labels, labels[memory.indices]), "stored labels must be those that were offered"
    assert np.array_equal(memory.known, known[memory.indices]), "stored masks must be those that were offered"
    drawn = memory.sample(5, generator(2, "sample"))
    assert len(set(drawn.tolist())) == 5 and (drawn < len(memory)).all(), "sample must give distinct filled slots"
    copy = make(3)
    copy.load_state(memory.state())
    for each in (memory, copy):
        each.update(np.arange(items), labels, known)
    assert np.array_equal(memory.indices, copy.indices), "a memory must go on exactly from its state"


def check_strategy(name: str, **settings: Any) -> None:
    """Learns the hidden `debug` scenario: finite numbers, repeatable, logits (B, C), exact state round trip.

    settings: options as `--set` takes them.
    """
    config = resolve("debug", name, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    docstring = plugins.find("strategy", name).docstring()
    assert docstring, f"{name}: the file must begin with a docstring that says what it is and where it is from"
    strategy = _trained(prepared)
    images = prepared.scenario.images.read(prepared.scenario.test_indices())
    before = _copied(strategy.state())
    strategy.model.eval()
    with torch.inference_mode():
        logits = strategy.predict(images)
    assert logits.shape == (len(images), prepared.scenario.num_classes), "predict must give logits (B, C)"
    assert logits.isfinite().all(), "predict must give finite logits"
    assert _same(before, strategy.state()), "predict must not change the strategy"
    assert _same(strategy.state(), _trained(prepared).state()), "the same seed must give the same state"
    check_resumed(prepared)


def check_resumed(prepared: Prepared) -> None:
    """A strategy rebuilt from its state after every task goes on exactly like the one that was not stopped."""
    scenario, options = prepared.scenario, prepared.config.options["train"]
    going, resumed = (build_strategy(prepared, 0, torch.device("cpu")) for _ in range(2))
    for number, task in enumerate(scenario.joined() if going.joint else scenario):
        fresh = build_strategy(prepared, 0, torch.device("cpu"))
        fresh.load_state(_copied(resumed.state()))
        resumed = fresh
        for strategy in (going, resumed):
            strategy.model.train()
            strategy.before_task(task)
            for samples in list(stream(task, number, options, 0))[:STEPS]:
                _check_values(strategy.observe(strategy.load(samples)))
            strategy.after_task(task)
        assert _same(going.state(), resumed.state()), f"task {task.name}: state must hold all that learning changes"


def _trained(prepared: Prepared) -> Strategy:
    torch.manual_seed(0)
    strategy = build_strategy(prepared, 0, torch.device("cpu"))
    train(strategy, prepared.scenario, prepared.config.options["train"], seed=0)
    return strategy


def _check_values(values: Mapping[str, Any]) -> None:
    assert "loss" in values, "observe must return the loss"
    for name, value in values.items():
        assert math.isfinite(float(value)), f"observe must return finite numbers, but {name} is {float(value)}"
        assert not isinstance(value, torch.Tensor) or not value.requires_grad, f"observe must return {name} detached"


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_copied(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    assert isinstance(state, np.ndarray | str | int | float | bool | None), (
        f"state must hold tensors, arrays and JSON values only, but has a {type(state).__name__}"
    )
    return state.copy() if isinstance(state, np.ndarray) else state


def _same(one: Any, other: Any) -> bool:
    """Bit-equality of two states."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
