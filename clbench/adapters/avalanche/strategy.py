"""An Avalanche plugin as a strategy: clbench draws batches, counts, evaluates, records and resumes.

    "Avalanche's naive training, with a plugin of mine."

    from clbench.adapters.avalanche import AvalancheStrategy, plugins

    NEEDS = {"avalanche": "clbench[avalanche]"}

    class Shrinking(plugins.SupervisedPlugin):
        def before_backward(self, strategy, **kwargs):
            strategy.loss += 1e-4 * sum(weight.square().sum() for weight in strategy.model.parameters())

    class Mine(AvalancheStrategy):
        def make_plugin(self):
            return Shrinking()

At each step Avalanche's own loop runs over the one batch that clbench has drawn. What ports are plugins that act on the
loss, the gradient or the weights; docs/avalanche.md says which do not, and why.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from avalanche.core import SupervisedPlugin
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from clbench.adapters.avalanche import refused, states
from clbench.adapters.avalanche.scenario import Experience, SampleDataset, encode, masked
from clbench.learning.batch import Batch, Values
from clbench.learning.stage import Stage
from clbench.learning.strategy import Setup, Strategy
from clbench.randomness import derive
from clbench.scenario.samples import Samples


class Template(SupervisedTemplate):
    """Avalanche's loop; what clbench has done already is left to it.

    owner: the strategy. fitted: the batch's loss alone, to which plugins then add.
    """

    owner: Strategy
    fitted: Tensor

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        """Nothing: the head has grown, and the first look would empty the optimiser's state."""

    def forward(self) -> Tensor:
        """In training mode, in which some plugins (RWalk) do not leave the model."""
        self.model.train()
        logits: Tensor = super().forward()
        return logits

    def criterion(self) -> Tensor:
        self.fitted = super().criterion()
        return self.fitted

    def optimizer_step(self) -> None:
        self.owner.apply()


class AvalancheStrategy(Strategy, ABC):
    """A subclass says which plugin it is; `options` are there when it is asked.

    `observe` gives `loss`, of the batch, and `added`, what the plugin made of it more. With a memory the replayed
    images stand in the batch, as they do in `er`. Epochs begin and end for the plugin as they do for the run.

    Raises:
        UsageError: a plugin that does not port; the sentence says why, and what does the same here.
    """

    shareable: ClassVar[bool] = False
    """Several processes cannot share its steps, whose gradients are Avalanche's."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.plugin = self.make_plugin()
        refused.check_plugin(self.plugin)
        self.template = Template(
            model=self.model,
            optimizer=self.optimizer,
            criterion=masked(setup.criterion),
            train_mb_size=setup.train.batch_size,
            train_epochs=setup.train.epochs,
            device=self.device,
            plugins=[self.plugin],
            evaluator=EvaluationPlugin(loggers=[BaseLogger()]),  # without a logger it warns
        )
        self.template.owner, self.template.is_training = self, True
        self._learning = True
        self.model.register_forward_pre_hook(self._counted())

    @abstractmethod
    def make_plugin(self) -> SupervisedPlugin:
        """The plugin, new."""

    def enter(self, stage: Stage, *, fresh: bool = True) -> None:
        self.template.experience = Experience(
            SampleDataset(stage.task.samples, self._read), stage.number, stage.task.classes, stage.old
        )
        self.template.train_dataset_adaptation()
        super().enter(stage, fresh=fresh)

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        self.template.optimizer = self.optimizer
        with self._between("before", stage):
            self.template._before_training()
            self.template._before_training_exp()

    def observe(self, batch: Batch) -> Values:
        both = batch.join(self.recall(len(batch)))
        template = self.template
        template.optimizer = self.optimizer
        template.dataloader = [[both.inputs, encode(both.labels, both.known)]]
        steps = self.stage.steps // self.train_options.epochs
        place = template.clock.train_exp_iterations % steps
        if place == 0:
            template._before_training_epoch()
        template.training_epoch()
        if place == steps - 1:
            template._after_training_epoch()
        self.remember(batch)
        fitted = template.fitted.detach()
        return {"loss": fitted, "added": template.loss.detach().squeeze() - fitted}

    def after_task(self, stage: Stage) -> None:
        with self._between("after", stage):
            self.template._after_training_exp()
            self.template._after_training()
        super().after_task(stage)

    def memory_bytes(self) -> int:
        return super().memory_bytes() + states.tensor_bytes(vars(self.plugin))

    def state(self) -> dict[str, Any]:
        if not self.resumable:
            return super().state()
        return super().state() | {"plugin": states.packed(self.plugin), "clock": states.packed(self.template.clock)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        states.unpack(self.plugin, state["plugin"])
        states.unpack(self.template.clock, state["clock"])

    @contextmanager
    def _between(self, moment: str, stage: Stage) -> Iterator[None]:
        """Around what a plugin does between tasks: from a seed of its own, counted as no learning, then in training."""
        self._learning = False
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(self._setup.seed, "avalanche", moment, stage.number))
            yield
        self._learning = True
        self.train()

    def _counted(self) -> Any:
        """A hook of the model: what a plugin passes through it in evaluation, or between tasks, is not learned from."""

        def passing(model: nn.Module, inputs: Any) -> None:
            self.tally.paused = not (self._learning and model.training)

        return passing

    def _read(self, sample: Samples) -> Tensor:
        """What the model takes of a sample, as the run loads it."""
        return self.loader(sample).inputs[0]
