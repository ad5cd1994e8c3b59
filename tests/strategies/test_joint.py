"""Joint training is an upper bound: no strategy takes more gradient images."""

from functools import cache

import numpy as np
import pytest
import torch
from installed import installed
from learners import batches, enter, learn, make

from clbench import plugins
from clbench.learning.listener import Listener
from clbench.learning.options import TrainOptions
from clbench.learning.trainer import joint_options, steps_per_epoch
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import Config, resolve
from clbench.scenario.samples import Samples

CPU = torch.device("cpu")
SCENARIOS = sorted([*plugins.available("scenario", hidden=True)])
STRATEGIES = [name for name in installed("strategy") if name != "avalanche-gem"]
"""All but one that passes its whole memory at each step, as its docstring says: no number of passes bounds it."""


@cache
def draws(name: str) -> int:
    """From its memory at each step: counted in the last one of a small run."""
    strategy, prepared = make(name)
    learn(strategy, prepared, 0)
    enter(strategy, prepared, 1)
    drawn, recall = [], strategy.recall
    strategy.recall = lambda new: drawn.append(new) or recall(new)  # type: ignore[method-assign, func-returns-value]
    strategy.observe(batches(strategy, prepared, 1)[0])
    return len(drawn) if recall(1) is not None else 0


def images_per_stream_image(config: Config) -> float:
    """Gradient images for each image of the stream, over all epochs: the new one, and those replayed with it."""
    train = config.options["train"]
    if plugins.load("strategy", config.strategy).joint:
        return float(train.epochs * config.options["strategy"].passes)
    asked = config.options["memory"].replay_batch if config.memory else 0
    return float(train.epochs * (1 + draws(config.strategy) * (asked or train.batch_size) / train.batch_size))


@pytest.mark.slow
def test_draws_of_a_step() -> None:
    expected = dict.fromkeys(("er", "der", "agem", "gem", "er-ace", "exstream"), 1)
    expected |= {"finetune": 0, "si": 0, "mas": 0, "derpp": 2}
    assert {name: draws(name) for name in expected} == expected


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_strategy_takes_more_gradient_images_than_the_bound(scenario: str) -> None:
    bound = images_per_stream_image(resolve(scenario, "joint"))
    for strategy in STRATEGIES:
        assert images_per_stream_image(resolve(scenario, strategy)) <= bound, strategy


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
def test_the_bound_takes_at_least_that_many_steps(scenario: str, drop_last: bool) -> None:
    """Images that enter several tasks are in the stream as often, and once in an epoch of joint training."""
    built = build_scenario(resolve(scenario, "joint"))
    for batch_size in (2, 7, 100):
        options = TrainOptions(epochs=3, batch_size=batch_size, drop_last=drop_last)
        stream = sum(3 * steps_per_epoch(len(task.train), options) for task in built)
        joint = joint_options(built, options, 2)
        steps = joint.epochs * steps_per_epoch(len(built.train_indices()), options)
        assert 2 * stream <= steps < 2 * stream + steps_per_epoch(len(built.train_indices()), options)
        assert (joint.batch_size, joint.lr) == (batch_size, options.lr)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
def test_counted_as_they_are_loaded(scenario: str) -> None:
    class Counts(Listener):
        images = 0

        def stepped(self, task: int, step: int, values: object, samples: Samples) -> None:
            self.images += len(samples)

    def trained(name: str) -> tuple[int, int]:
        """New and replayed images as they are handed out; the run's own counts say the same."""
        from clbench.learning.trainer import train

        config = resolve(scenario, name)
        prepared = Prepared(config, build_scenario(config))
        strategy, counts = build_strategy(prepared, 0, CPU), Counts()
        drawn = []
        recall = strategy.recall

        def counting(new: int) -> object:
            replay = recall(new)
            drawn.append(0 if replay is None else len(replay))
            return replay

        strategy.recall = counting  # type: ignore[method-assign, assignment]
        train(strategy, prepared.scenario, config.options["train"], seed=0, listeners=[counts])
        new, replayed = counts.images, int(np.sum(drawn))
        recorded = strategy.tally.counts
        assert recorded is not None
        assert (recorded["gradient_images"], recorded["replayed_images"]) == (new + replayed, replayed)
        return new, replayed

    bound, _ = trained("joint")
    images = {name: trained(name) for name in STRATEGIES if name != "joint"}
    assert all(new + replayed <= bound for new, replayed in images.values()) and images["er"][1] > 0
