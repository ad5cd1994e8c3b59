"""Avalanche's own training over the batches that clbench draws: what its strategies here are compared with."""

from typing import Any

import torch
from avalanche.benchmarks.utils.data import AvalancheDataset
from avalanche.core import SupervisedPlugin
from avalanche.evaluation import PluginMetric
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from learners import batches, make

from clbench import Strategy, to_avalanche
from clbench.adapters.avalanche import masked_bce
from clbench.adapters.avalanche.scenario import SampleDataset
from clbench.learning.optim import build_optimizer
from clbench.running.build import Prepared


class InTheRunsOrder(SupervisedPlugin):
    """The batches of a run, and its clipping."""

    def __init__(self, prepared: Prepared, strategy: Strategy) -> None:
        super().__init__()
        self._prepared, self._strategy = prepared, strategy

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        images = self._prepared.scenario.images
        drawn = batches(self._strategy, self._prepared, strategy.experience.current_experience)
        parts = [SampleDataset(batch.samples, lambda one: images.read(one.indices)[0]) for batch in drawn]
        strategy.adapted_dataset = AvalancheDataset(parts)

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        clip = self._prepared.config.options["train"].grad_clip
        torch.nn.utils.clip_grad_value_(strategy.model.parameters(), clip)


def own_training(
    prepared: Prepared, tasks: int, plugin: SupervisedPlugin | None = None, metric: PluginMetric[Any] | None = None
) -> torch.nn.Module:
    """The model after some tasks with a plugin; with a metric the test stream is evaluated after each."""
    twin, _ = make("finetune", prepared.config.scenario, norm=prepared.config.options["model"].norm)
    engine = SupervisedTemplate(
        model=twin.model,
        optimizer=build_optimizer(prepared.config.options["train"], twin.model.parameters()),
        criterion=masked_bce,
        train_mb_size=prepared.config.options["train"].batch_size,
        eval_mb_size=prepared.config.options["train"].eval_batch_size,
        plugins=[InTheRunsOrder(prepared, twin), plugin or SupervisedPlugin()],
        evaluator=EvaluationPlugin(metric or [], loggers=[BaseLogger()]),
    )
    streams = to_avalanche(prepared.scenario, torch.clone)
    for experience in streams.train_stream[:tasks]:
        engine.train(experience, eval_streams=[], shuffle=False)
        if metric is not None:
            engine.eval(streams.test_stream)
    return twin.model
