"""What every strategy must do."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from clbench import plugins
from clbench.errors import PluginError
from clbench.learning.stage import Stage
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import stages_of, stream, train
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples
from clbench.testing.peeking import check_hidden_labels
from clbench.testing.states import copied, same

STEPS = 4
"""Batches that a strategy is shown of each task."""
CPU = torch.device("cpu")


def check_strategy(name: str, scenario: str = "debug", *, memory: str | None = "default", **settings: Any) -> None:
    """Learns a hidden small scenario: finite numbers, repeatable, logits (B, C), exact state, no hidden label used.

    scenario: `debug`, or `debug-incremental`, whose head grows and whose labels are partly hidden. settings: options
    as `--set` takes them.
    """
    docstring = plugins.find("strategy", name).docstring()
    assert docstring, f"{name}: the file must begin with a docstring that says what it is and where it is from"
    for _, check in strategy_checks(name, scenario, memory=memory, **settings):
        check()


def strategy_checks(
    name: str, scenario: str = "debug", *, memory: str | None = "default", **settings: Any
) -> list[tuple[str, Callable[[], None]]]:
    """What `check_strategy` checks besides the docstring: what it is, and a function that raises AssertionError."""
    config = resolve(scenario, name, memory=memory, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    cls = plugins.load("strategy", name)
    found = [("learns to the end, the same from the same seed", partial(check_learning, prepared))]
    if cls.resumable:
        found.append(("goes on exactly from its state", partial(check_resumed, prepared)))
    if not cls.joint:
        found.append(("uses no hidden label", partial(check_hidden_labels, prepared)))
    return [*found]


def check_learning(prepared: Prepared) -> None:
    """Trained to the end: logits (B, C), prediction that changes nothing, and the same again from the same seed."""
    strategy = _trained(prepared)
    test = prepared.scenario.test_indices()
    before = copied(strategy.state())
    with torch.inference_mode(), strategy.evaluating():
        for name, module in strategy.modules().items():
            assert not module.training, f"evaluation must reach the module {name}"
        logits = strategy.predict(strategy.loader.inputs(test))
    assert logits.shape == (len(test), prepared.scenario.num_classes), "predict must give logits (B, C)"
    assert logits.isfinite().all(), "predict must give finite logits"
    assert same(before, strategy.state()), "predict must not change the strategy"
    assert same(strategy.state(), _trained(prepared).state()), "the same seed must give the same state"
    assert strategy.memory_bytes() >= 0, "memory_bytes must count what is kept"
    counts = strategy.tally.counts
    assert counts and (counts["steps"] or not counts["gradient_images"]), "the optimiser that steps must be `optimizer`"


def check_resumed(prepared: Prepared) -> None:
    """A strategy rebuilt from its state, before and within every task, goes on like the one that was not stopped."""
    going, resumed = (build_strategy(prepared, 0, CPU) for _ in range(2))
    for stage, batches in _shown(prepared, joint=going.joint):
        resumed = _rebuilt(prepared, resumed, stage)
        for strategy in (going, resumed):
            strategy.enter(stage)
        for step, samples in enumerate(batches):
            if step == len(batches) // 2:
                resumed = _rebuilt(prepared, resumed, stage)
            for strategy in (going, resumed):
                torch.manual_seed(step)  # a run's state has PyTorch's generator, a strategy's has not
                _check_values(strategy.observe(strategy.load(samples)))
        for strategy in (going, resumed):
            torch.manual_seed(0)
            strategy.after_task(stage)
        assert same(going.state(), resumed.state()), (
            f"task {stage.number + 1}: state must hold all that learning changes"
        )


def _shown(prepared: Prepared, *, joint: bool) -> Iterator[tuple[Stage, list[Samples]]]:
    scenario, options = prepared.scenario, prepared.config.options["train"]
    for stage in stages_of(scenario.joined() if joint else scenario, options):
        yield stage, list(stream(stage.task, stage.number, options, 0))[:STEPS]


def _rebuilt(prepared: Prepared, strategy: Strategy, stage: Stage) -> Strategy:
    """As in a new process: built afresh, then given the other's state."""
    fresh = build_strategy(prepared, 0, CPU)
    fresh.load_state(copied(strategy.state()))
    fresh.enter(stage, fresh=False)
    return fresh


def _trained(prepared: Prepared) -> Strategy:
    torch.manual_seed(0)
    strategy = build_strategy(prepared, 0, CPU)
    try:
        train(strategy, prepared.scenario, prepared.config.options["train"], seed=0)
    except PluginError as error:  # what the trainer refuses itself
        raise AssertionError(str(error)) from error
    return strategy


def _check_values(values: Mapping[str, Any]) -> None:
    assert "loss" in values, "observe must return the loss"
    for name, value in values.items():
        assert not isinstance(value, torch.Tensor) or not value.requires_grad, f"observe must return {name} detached"
        assert math.isfinite(float(value)), f"observe must return finite numbers, but {name} is {float(value)}"
