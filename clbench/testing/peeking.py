"""No strategy sees a label that its protocol hides: neither in what it is shown, nor in anything that it can reach."""

import gc
import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from clbench.arrays import IntArray, LabelArray
from clbench.data.collection import ImageSource
from clbench.learning.batch import Batch
from clbench.learning.loader import Loader
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_strategy
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario, Task
from clbench.testing.states import same

STEPS = 4
"""Batches that a strategy is shown of each task."""
CPU = torch.device("cpu")


def check_hidden_labels(prepared: Prepared) -> None:
    """No label that the protocol hides reaches a strategy: shown, stored and replayed, distilled, or merely in reach.

    Everything that the strategy loads is compared with what the tasks so far, and the policy for replayed labels, may
    show of each image. Then the hidden truth, that of the test images included, is turned round, and everything that
    the strategy learns must stay the same to the bit, as must every array that references lead to from it (it has its
    stage, its loader and its setup): whatever way a hidden label could have come in would show.
    """
    whole = prepared.scenario
    for tasks in range(1, len(whole) + 1):
        scenario = replace(whole, tasks=whole.tasks[:tasks])
        labels = _turned_round(scenario)
        turned = replace(scenario, labels=labels, replay=scenario.replay and replace(scenario.replay, truth=labels))
        strategy, twin = (_witnessed(Prepared(prepared.config, each)) for each in (scenario, turned))
        assert same(strategy.state(), twin.state()), f"after {tasks} task(s): a hidden label has changed the strategy"
        assert Counter(_arrays(strategy)) == Counter(_arrays(twin)), (
            f"after {tasks} task(s): an array that the strategy can reach depends on hidden labels"
        )
        _check_no_test_image_is_named(scenario, strategy)


def _check_no_test_image_is_named(scenario: Scenario, strategy: Strategy) -> None:
    for thing in reachable(strategy):
        assert not isinstance(thing, Scenario), "a strategy must not reach the scenario"
        assert not (isinstance(thing, Task) and len(thing.test)), "a strategy must not reach a task's test images"
        if isinstance(thing, np.ndarray) and thing.ndim == 1 and thing.dtype == np.int64 and len(thing):
            assert not _names_test_images(scenario, thing), "a strategy must not reach the list of test images"


def reachable(start: object) -> Iterator[object]:
    """Every object that references lead to, closures, bound methods, partials and slots included; `start` first.

    Not through modules, classes, and the globals of functions: these belong to everybody.
    """
    waiting, seen = deque([start]), {id(start)}
    kept = [start]  # so that no id is used twice
    while waiting:
        thing = waiting.popleft()
        yield thing
        for found in _referents(thing):
            if id(found) not in seen and not isinstance(found, ModuleType | type | BuiltinFunctionType):
                seen.add(id(found))
                kept.append(found)
                waiting.append(found)


def _referents(thing: object) -> list[object]:
    if isinstance(thing, FunctionType):
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
    return gc.get_referents(thing)


def _arrays(start: object) -> Iterator[str]:
    """A digest of every array, tensor, and sequence of numbers that can be reached."""
    for thing in reachable(start):
        if isinstance(thing, torch.Tensor):
            thing = thing.detach().cpu().contiguous().view(-1).numpy()
        if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
            yield hashlib.sha256(repr(thing.shape).encode() + np.ascontiguousarray(thing).tobytes()).hexdigest()
        elif isinstance(thing, list | tuple | bytes | bytearray) and thing and _plain(thing):
            yield hashlib.sha256(repr(thing).encode()).hexdigest()


def _plain(values: Any) -> bool:
    return isinstance(values, bytes | bytearray) or all(type(value) in (int, bool) for value in values)


def _names_test_images(scenario: Scenario, indices: IntArray) -> bool:
    sets = [scenario.test_indices(), *(task.test for task in scenario)]
    return any(np.array_equal(np.unique(indices), np.unique(test)) for test in sets)


def _turned_round(scenario: Scenario) -> LabelArray:
    """The truth (N, C), with every label turned round that the protocol never shows in these tasks.

    What a task shows stands in its own `labels`; of the truth itself only replayed samples may show more.
    """
    hidden = np.ones_like(scenario.labels, np.bool_)
    policy = scenario.replay.policy if scenario.replay else "frozen"
    for task in scenario if policy != "frozen" else ():
        first = task.classes[0] if policy == "forward" else 0
        hidden[task.train, first : scenario[-1].classes[-1] + 1] = False
    return np.where(hidden, 1 - scenario.labels, scenario.labels).astype(np.uint8)


class Witness(Loader):
    """A loader that remembers what it was asked for, and during which task; of the truth it knows nothing itself."""

    def __init__(self, images: ImageSource) -> None:
        super().__init__(images, CPU)
        self.number = 0
        self.loaded: list[tuple[int, Samples]] = []

    def __call__(self, samples: Samples, whole: bool = False) -> Batch:
        self.loaded.append((self.number, samples))
        return super().__call__(samples, whole)


def _check_shown(scenario: Scenario, loaded: Sequence[tuple[int, Samples]]) -> None:
    """Of every image only what the tasks up to then may show of it."""
    for number, samples in loaded:
        for row, index in enumerate(samples.indices.tolist()):
            shown = set(np.flatnonzero(samples.labels[row]).tolist())
            assert any(shown <= allowed for allowed in _showable(scenario, index, number)), (
                f"task {number + 1}: image {index} was shown with the columns {sorted(shown)}"
            )


def _showable(scenario: Scenario, index: int, number: int) -> list[set[int]]:
    """For each task so far that the image is in: the positive columns that it may be shown with in task `number`."""
    ways = []
    policy = scenario.replay.policy if scenario.replay else "frozen"
    for home, task in enumerate(scenario[: number + 1]):
        place = np.flatnonzero(task.train == index)
        if not len(place):
            continue
        opened = range(0) if policy == "frozen" else range(home if policy == "forward" else 0, number + 1)
        columns = {c for t in opened for c in scenario[t].classes}
        true = set(np.flatnonzero(scenario.labels[index]).tolist())
        ways.append(set(np.flatnonzero(task.labels[place[0]]).tolist()) | (columns & true))
    return ways


def _witnessed(prepared: Prepared) -> Strategy:
    """A trained strategy, after every batch that it has loaded was looked through."""
    scenario, options = prepared.scenario, prepared.config.options["train"]
    strategy = build_strategy(prepared, 0, CPU)
    own, witness = strategy.loader, Witness(scenario.images)
    strategy.loader = witness
    torch.manual_seed(0)
    for stage in stages_of(scenario, options):
        witness.number = stage.number
        strategy.enter(stage)
        for samples in list(stream(stage.task, stage.number, options, 0))[:STEPS]:
            strategy.observe(strategy.load(samples))
        strategy.after_task(stage)
    _check_shown(scenario, witness.loaded)
    strategy.loader = own
    return strategy
