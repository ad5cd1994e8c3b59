"""The contracts as a test kit: what every scenario, memory, head and strategy must do, for our plugins and anybody's.

    from clbench.testing import check_strategy

    def test_my_strategy() -> None:
        check_strategy("my-strategy")

Each function raises AssertionError with a sentence that says what was broken.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from clbench import plugins
from clbench.learning.batch import Batch
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import stream, train
from clbench.memory import NOT_STORED
from clbench.randomness import generator
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario

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


def _check_growing(scenario: Scenario) -> None:
    """Every image of a task shows one of its classes, and nothing is said of classes to come."""
    for number, task in enumerate(scenario):
        columns, seen = list(task.classes), task.classes[-1] + 1
        assert task.labels[:, columns].any(axis=1).all(), f"task {number}: every training image must show its classes"
        assert not np.delete(task.labels, columns, axis=1).any() or scenario.protocol["images"] == "exclusive", (
            f"task {number}: labels of other tasks must not be shown"
        )
        assert task.known[:, columns].all(), f"task {number}: its own labels must be known"
        assert not task.known[:, seen:].any(), f"task {number}: nothing may be said of classes to come"


def check_hidden_labels(prepared: Prepared) -> None:
    """No label that the protocol hides reaches a strategy: shown, stored and replayed, or distilled.

    Everything that the strategy loads is compared with what the tasks so far, and the policy for replayed labels, may
    show of each image. Then the hidden truth is changed, and everything that the strategy learns must stay the same to
    the bit: whatever way a hidden label could have come in would show.
    """
    whole = prepared.scenario
    for tasks in range(1, len(whole) + 1):
        scenario = replace(whole, tasks=whole.tasks[:tasks])
        strategy = _witnessed(Prepared(prepared.config, scenario))
        twin = _witnessed(Prepared(prepared.config, _with_other_truth(scenario)))
        assert _same(strategy.state(), twin.state()), f"after {tasks} task(s): a hidden label has changed the strategy"


def _witnessed(prepared: Prepared) -> Strategy:
    """A trained strategy, after every batch that it has loaded was looked through."""
    scenario, options = prepared.scenario, prepared.config.options["train"]
    strategy = build_strategy(prepared, 0, torch.device("cpu"))
    load = strategy.load
    number = 0

    def witness(samples: Samples) -> Batch:
        batch = load(samples)
        for row, index in enumerate(samples.indices.tolist()):
            shown = set(np.flatnonzero(batch.labels[row].numpy()).tolist())
            assert any(shown <= allowed for allowed in _showable(scenario, index, number)), (
                f"task {number}: image {index} was shown with the columns {sorted(shown)}"
            )
        return batch

    strategy.load = witness  # type: ignore[method-assign]
    for number, task in enumerate(scenario):
        strategy.model.train()
        strategy.before_task(task)
        for samples in list(stream(task, number, options, 0))[:STEPS]:
            strategy.observe(strategy.load(samples))
        strategy.after_task(task)
    return strategy


def _showable(scenario: Scenario, index: int, number: int) -> list[set[int]]:
    """For each task so far that the image is in: the positive columns that it may be shown with in task `number`."""
    ways = []
    for home, task in enumerate(scenario[: number + 1]):
        place = np.flatnonzero(task.train == index)
        if not len(place):
            continue
        policy = scenario.replay.policy if scenario.replay else "frozen"
        opened = range(0) if policy == "frozen" else range(home if policy == "forward" else 0, number + 1)
        columns = {c for t in opened for c in scenario[t].classes}
        true = set(np.flatnonzero(scenario.labels[index]).tolist())
        ways.append(set(np.flatnonzero(task.labels[place[0]]).tolist()) | (columns & true))
    return ways


def _with_other_truth(scenario: Scenario) -> Scenario:
    """The same tasks over training labels whose hidden part is turned round."""
    seen = scenario[-1].classes[-1] + 1 if scenario.growing else scenario.num_classes
    policy = scenario.replay.policy if scenario.replay else "frozen"
    first = 0 if policy == "frozen" else seen  # other policies may show all that has been introduced
    labels = scenario.labels.copy()
    train = np.unique(np.concatenate([task.train for task in scenario]))
    labels[train, first:] = 1 - labels[train, first:]
    replay = replace(scenario.replay, truth=labels) if scenario.replay else None
    return replace(scenario, labels=labels, replay=replay)


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


def check_head(name: str, *, channels: int = 16, classes: int = 4) -> None:
    """Logits (B, C), a seeded start, growth that keeps old rows and logits, and attention that sums to one.

    Raises AssertionError; the head is built with its default options.
    """
    cls = plugins.load("head", name)
    assert plugins.find("head", name).docstring(), f"{name}: the file must begin with a docstring"
    feature_map = torch.randn(3, channels, 4, 5, generator=torch.Generator().manual_seed(1))

    def make() -> Any:
        torch.manual_seed(0)
        return cls(cls.Options(), channels, classes).eval()

    head, twin = make(), make()
    before = head(feature_map)
    assert before.shape == (3, classes) and before.dtype == torch.float32, "a head must give float32 logits (B, C)"
    assert torch.equal(before, twin(feature_map)), "the global generator's seed alone must decide how a head begins"
    features = head.features(feature_map)
    assert features.shape[:2] in ((3, 1), (3, classes)), "features must be (B, 1, d) or (B, C, d)"
    assert torch.equal(before, head.classify(features)), "logits must be the classified features"
    old = {key: tensor.clone() for key, tensor in head.state_dict().items()}
    for each in (head, twin):
        each.grow(classes + 3, torch.Generator().manual_seed(2))
    assert head.num_classes == classes + 3 and head(feature_map).shape == (3, classes + 3), "a head must grow"
    assert _same(dict(head.state_dict()), dict(twin.state_dict())), "new rows must come from the generator alone"
    for key, tensor in head.state_dict().items():
        assert torch.equal(tensor[: len(old[key])] if tensor.ndim else tensor, old[key]), f"{key}: old rows must stay"
    torch.testing.assert_close(head(feature_map)[:, :classes], before, rtol=0, atol=1e-5)
    attention = head.attention(feature_map)
    if attention is not None:
        assert attention.shape == (3, classes + 3, 4, 5), "attention must be (B, C, H, W)"
        torch.testing.assert_close(attention.sum((2, 3)), torch.ones(3, classes + 3), rtol=0, atol=1e-5)


def check_strategy(name: str, scenario: str = "debug", **settings: Any) -> None:
    """Learns a hidden small scenario: finite numbers, repeatable, logits (B, C), exact state, no hidden label used.

    scenario: `debug`, or `debug-incremental`, whose head grows and whose labels are partly hidden. settings: options
    as `--set` takes them.
    """
    config = resolve(scenario, name, settings=settings)
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
    if not strategy.joint:
        check_hidden_labels(prepared)


def check_resumed(prepared: Prepared) -> None:
    """A strategy rebuilt from its state, before and within every task, goes on like the one that was not stopped."""
    scenario, options = prepared.scenario, prepared.config.options["train"]
    going, resumed = (build_strategy(prepared, 0, torch.device("cpu")) for _ in range(2))
    for number, task in enumerate(scenario.joined() if going.joint else scenario):
        batches = list(stream(task, number, options, 0))[:STEPS]
        resumed = _rebuilt(prepared, resumed)
        for strategy in (going, resumed):
            strategy.before_task(task)
        for step, samples in enumerate(batches):
            if step == len(batches) // 2:
                resumed = _rebuilt(prepared, resumed)
            for strategy in (going, resumed):
                strategy.model.train()
                _check_values(strategy.observe(strategy.load(samples)))
        for strategy in (going, resumed):
            strategy.after_task(task)
        assert _same(going.state(), resumed.state()), f"task {task.name}: state must hold all that learning changes"


def _rebuilt(prepared: Prepared, strategy: Strategy) -> Strategy:
    """As in a new process: built afresh, then given the other's state."""
    fresh = build_strategy(prepared, 0, torch.device("cpu"))
    fresh.load_state(_copied(strategy.state()))
    fresh.model.train()
    return fresh


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
