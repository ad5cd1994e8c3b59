"""Strategies as a run builds them, on the hidden scenario, and what leads them through its tasks."""

from typing import Any

import torch

from clbench import Batch, Strategy
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve

CPU = torch.device("cpu")


def make(
    name: str, scenario: str = "debug", *, memory: str | None = "default", head: str = "default", **settings: Any
) -> tuple[Strategy, Prepared]:
    config = resolve(scenario, name, memory=memory, head=head, settings=settings)
    prepared = Prepared(config, build_scenario(config))
    return build_strategy(prepared, 0, CPU), prepared


def batches(strategy: Strategy, prepared: Prepared, task: int) -> list[Batch]:
    found = stream(prepared.scenario[task], task, prepared.config.options["train"], 0)
    return [strategy.load(samples) for samples in found]


def enter(strategy: Strategy, prepared: Prepared, task: int) -> None:
    strategy.enter(list(stages_of(prepared.scenario, prepared.config.options["train"]))[task])


def learn(strategy: Strategy, prepared: Prepared, *tasks: int) -> None:
    for number in tasks:
        enter(strategy, prepared, number)
        for batch in batches(strategy, prepared, number):
            strategy.observe(batch)
        strategy.after_task(strategy.stage)
