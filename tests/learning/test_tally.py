"""Counts of steps and images, against numbers worked by hand.

`debug` has 3 tasks of 7 training images; in batches of 3 without the last one a task is 2 steps and 6 images.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clbench import Batch, Setup, Stage, Strategy, Values
from clbench.learning.tally import COUNTS
from clbench.learning.trainer import train
from clbench.report import rows
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve

CPU = torch.device("cpu")
EVERY = {"batch_size": 4, "drop_last": False}
"""A task is 2 steps too, of 4 and of 3 images."""


def counted(name: str, kind: type[Strategy] | None = None, **settings: Any) -> list[int]:
    """Steps, images, replayed images of a whole run; kind: a strategy that has no name."""
    config = resolve("debug", name, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    strategy = build_strategy(prepared, 0, CPU)
    if kind is not None:
        strategy = kind(strategy._setup)
    train(strategy, prepared.scenario, config.options["train"], seed=0)
    assert strategy.tally.counts is not None
    return [strategy.tally.counts[name] for name in COUNTS]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("finetune", {}, [6, 18, 0]),
        ("finetune", EVERY, [6, 21, 0]),
        ("finetune", EVERY | {"epochs": 2}, [12, 42, 0]),
        # The first step finds the memory empty, each of the 5 others 3 images or more.
        ("er", {}, [6, 18 + 15, 15]),
        ("er", {"epochs": 2}, [12, 36 + 33, 33]),
        # As many as are new: 0 + 3 in the first task, 4 + 3 in the others.
        ("er", EVERY, [6, 21 + 17, 17]),
        # Of 4 asked for the second step finds 3.
        ("er", {"replay_batch": 4}, [6, 18 + 19, 19]),
        # 21 images are 7 steps; 2 passes over the stream of 6 steps take 2 epochs, 3 take 3, of two epochs 36 / 7 -> 6.
        ("joint", {"passes": 2}, [14, 42, 0]),
        ("joint", {}, [21, 63, 0]),
        ("joint", {"epochs": 2}, [42, 126, 0]),
        # One draw, two of them, and none for a term of weight 0.
        ("der", {}, [6, 18 + 15, 15]),
        ("derpp", {}, [6, 18 + 2 * 15, 2 * 15]),
        ("derpp", {"beta": 0}, [6, 18 + 15, 15]),
        ("derpp", {"alpha": 0, "freeze": "backbone"}, [6, 18 + 15, 15]),
        ("er-ace", {}, [6, 18 + 15, 15]),
        ("exstream", {}, [6, 18 + 15, 15]),
        # A reference is back-propagated too, in all but the first of 3 tasks.
        ("agem", {}, [6, 18 + 2 * 6, 2 * 6]),
        ("agem", {"replay_batch": 4, "freeze": "backbone"}, [6, 18 + 2 * 8, 2 * 8]),
        # 3 images in all, of 1 or 2 older tasks.
        ("gem", {}, [6, 18 + 2 * 6, 2 * 6]),
        # Fisher passes and teachers give none.
        ("ewc", {}, [6, 18, 0]),
        ("mas", {}, [6, 18, 0]),
        ("si", {}, [6, 18, 0]),
        ("lwf", {}, [6, 18, 0]),
        ("dlfl", {}, [6, 33, 15]),
        # The map of a frozen backbone carries no gradient; what is made of it does.
        ("finetune", {"freeze": "backbone"}, [6, 18, 0]),
        ("er", {"freeze": "backbone"}, [6, 33, 15]),
        ("dlfl", {"freeze": "backbone"}, [6, 33, 15]),
    ],
)
def test_counts_by_hand(name: str, settings: dict[str, Any], expected: list[int]) -> None:
    assert counted(name, **settings) == expected


class Apart(Strategy):
    """A pass and a step of its own for what is replayed, in other pixels; and a look at it that teaches nothing."""

    def observe(self, batch: Batch) -> Values:
        replay = self.recall(len(batch))
        self.step(self.loss(batch))
        if replay:
            flipped = replace(replay, inputs=replay.inputs.flip(-1))
            with torch.no_grad():
                self.model(replay.inputs)
            self.step(self.loss(flipped))
        self.remember(batch)
        return {"loss": 0.0}


class Twice(Strategy):
    """Two backward passes for a step."""

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        loss.backward()  # type: ignore[no-untyped-call]
        self.apply()


class Unused(Strategy):
    """Recalls, and learns from the new images alone."""

    def observe(self, batch: Batch) -> Values:
        self.recall(50)
        self.step(self.loss(batch))
        self.remember(batch)
        return {"loss": 0.0}


class Rehearsing(Strategy):
    """Goes over its memory at the end of each task, not by `recall`; its step is the optimiser's own."""

    def observe(self, batch: Batch) -> Values:
        self.remember(batch)
        return {"loss": 0.0}

    def after_task(self, stage: Stage) -> None:
        super().after_task(stage)
        assert self.memory is not None
        for batch in self.over(self.memory.stored(np.arange(len(self.memory))), 3):
            self.optimizer.zero_grad()
            self.loss(batch).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()


class OwnOptimizers(Strategy):
    """Two optimisers that take turns, and a fast copy of the model that learns too."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.fast = deepcopy(self.model)
        self.both = [torch.optim.SGD(m.parameters(), 1e-3) for m in (self.model, self.fast)]

    def observe(self, batch: Batch) -> Values:
        for model, optimizer in zip((self.model, self.fast), self.both, strict=True):
            self.optimizer = optimizer
            self.step(self.criterion(model(batch.inputs), batch.labels, batch.known))
        return {"loss": 0.0}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Apart, [6 + 5, 18 + 15, 15]),
        (Twice, [6, 2 * (18 + 15), 2 * 15]),
        (Unused, [6, 18, 0]),
        (Rehearsing, [3 * 2, 3 * 5, 3 * 5]),  # 5 stored images in batches of 3, after each of 3 tasks
        (OwnOptimizers, [2 * 6, 2 * 18, 0]),
    ],
)
def test_strategies_that_do_it_their_own_way_are_counted(kind: type[Strategy], expected: list[int]) -> None:
    assert counted("er", kind) == expected


def test_evaluation_counts_nothing_and_a_state_without_counts_makes_them_unknown() -> None:
    config = resolve("debug", "er")
    prepared = Prepared(config, build_scenario(config))
    strategy, again = (build_strategy(prepared, 0, CPU) for _ in range(2))
    batch = strategy.load(prepared.scenario[0].samples)
    with strategy.evaluating():
        strategy.loss(batch).backward()  # type: ignore[no-untyped-call]
    assert strategy.tally.counts == dict.fromkeys(COUNTS, 0)
    strategy.step(strategy.loss(batch))
    assert strategy.tally.counts == {"steps": 1, "gradient_images": 7, "replayed_images": 0}
    state = strategy.state()
    again.load_state(state)
    strategy.step(strategy.loss(batch))
    assert again.tally.counts == {"steps": 1, "gradient_images": 7, "replayed_images": 0}
    del state["tally"]
    again.load_state(state)
    again.step(again.loss(batch))
    assert again.tally.counts is None and again.state()["tally"] is None


def test_reports_know_the_counts_by_the_same_names() -> None:
    assert rows.COUNTS == COUNTS
