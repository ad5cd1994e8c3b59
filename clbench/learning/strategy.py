"""The Strategy contract: a strategy says how one batch changes the model. The trainer does everything else.

    class ExperienceReplay(Strategy):
        memory_policy = "reservoir"

        def observe(self, batch: Batch) -> Values:
            batch_and_replay = batch.join(self.recall(len(batch)))
            loss = self.loss(batch_and_replay)
            self.step(loss)
            self.remember(batch)
            return {"loss": loss}

A strategy never logs, prints, evaluates or touches a file: `observe` returns numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clbench.learning.batch import Batch, Values
from clbench.learning.loader import Loader
from clbench.learning.optim import replace_parameter
from clbench.memory import Memory
from clbench.models.network import Network
from clbench.options import NoOptions
from clbench.randomness import derive, generator
from clbench.scenario.samples import ReplayLabels, Samples
from clbench.scenario.tasks import Task

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits (B, C), labels (B, C), known (B, C)) -> scalar loss."""


@dataclass(frozen=True)
class Setup:
    """What a run hands to its strategy: everything is built and seeded."""

    options: Any
    model: Network
    optimizer: torch.optim.Optimizer
    criterion: Criterion
    memory: Memory | None
    loader: Loader
    device: torch.device
    seed: int
    grad_clip: float = 0.0
    replay_labels: ReplayLabels | None = None


class Strategy(ABC):
    """One subclass per file; the file's name is the strategy's name on the command line.

    Only `observe` must be written. A subclass that keeps something between batches gives it to `state` and takes it
    back in `load_state`, as tensors and JSON values, so that a run can be resumed exactly.
    """

    Options: ClassVar[type[Any]] = NoOptions
    head: ClassVar[str] = "linear"
    """Default head; `--head` chooses another."""
    memory_policy: ClassVar[str | None] = None
    """Default memory; None for none. `--memory` chooses another."""
    joint: ClassVar[bool] = False
    """True: trained on all tasks at once instead of one after another."""
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Section (`strategy`, `memory`, `model`, `train`) -> options whose defaults differ with this strategy."""
    scenario_defaults: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """The same by scenario name, for options that differ on one scenario."""

    def __init__(self, setup: Setup) -> None:
        self.options = setup.options
        self.model = setup.model
        self.optimizer = setup.optimizer
        self.memory = setup.memory
        self.device = setup.device
        self.criterion = setup.criterion
        self.old_classes: tuple[int, ...] = ()
        """Columns of the tasks before the present one."""
        self.task_classes: tuple[int, ...] = ()
        """Columns that the present task introduces."""
        self._loader = setup.loader
        self._replay_labels = setup.replay_labels
        self._seed = setup.seed
        self._grad_clip = setup.grad_clip
        self._replay = generator(setup.seed, "replay")

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        """Why this strategy cannot be run so, in one sentence; None where it can."""
        return None

    @abstractmethod
    def observe(self, batch: Batch) -> Values:
        """Learn from one batch of the stream; returns scalars to record, among them `loss`."""

    def predict(self, images: Tensor) -> Tensor:
        """Logits (B, C) float32 of uint8 images (B, 3, S, S); the trainer has set the model to evaluation.

        C: the columns of the model's head, which in some scenarios grow with the tasks.
        """
        logits: Tensor = self.model(images)
        return logits

    def before_task(self, task: Task) -> None:
        """Called before a task's first batch. Overriding methods call `super().before_task(task)` first.

        Where the scenario's head grows with the tasks it grows here, and the optimiser with it.
        """
        self.task_classes = task.classes
        self._grow(1 + max(task.classes))

    def after_task(self, task: Task) -> None:
        """Called after a task's last batch, before evaluation. Overriding methods call `super().after_task(task)`."""
        self.old_classes = (*self.old_classes, *task.classes)

    # What subclasses call

    def load(self, samples: Samples) -> Batch:
        """The samples with their pixels, on the device, with the labels of the columns that the head has."""
        return self._loader(samples).cut(self.model.head.num_classes)

    def ahead(self, batches: Iterable[Samples]) -> Iterator[Samples]:
        """The same batches; the images of the next ones may be read while one is learned."""
        return self._loader.ahead(batches)

    def loss(self, batch: Batch) -> Tensor:
        """The run's criterion on a batch; honours `known`."""
        return self.criterion(self.model(batch.images), batch.labels, batch.known)

    def step(self, loss: Tensor) -> None:
        """One optimiser step on `loss`, with the run's gradient clipping (by value)."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._grad_clip:
            nn.utils.clip_grad_value_(self.model.parameters(), self._grad_clip)
        self.optimizer.step()

    def recall(self, n: int) -> Batch | None:
        """Up to n samples drawn from the memory without replacement; None where there are none, or no memory."""
        if self.memory is None or not len(self.memory):
            return None
        slots = self.memory.sample(n, self._replay)
        stored = Samples(self.memory.indices[slots], self.memory.labels[slots], self.memory.known[slots])
        return self.load(self._replay_labels(stored, self.model.head.num_classes) if self._replay_labels else stored)

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A generator of this strategy's own for one purpose, e.g. ``self.generator("fisher", task)``."""
        return generator(self._seed, "strategy", *purpose)

    def remember(self, batch: Batch) -> None:
        """Offer a batch of the stream to the memory, if there is one."""
        if self.memory is not None:
            self.memory.update(batch.samples.indices, batch.samples.labels, batch.samples.known)
            self._loader.keep(self.memory.indices)

    # What a run's state is

    def state(self) -> dict[str, Any]:
        """Everything that changes while learning: tensors, arrays and JSON values only."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "memory": None if self.memory is None else self.memory.state(),
            "replay": self._replay.bit_generator.state,
            "old_classes": list(self.old_classes),
            "task_classes": list(self.task_classes),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._grow(len(state["model"]["head.classifier.weight"]))
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.memory is not None:
            self.memory.load_state(state["memory"])
            self._loader.keep(self.memory.indices)
        self._replay.bit_generator.state = state["replay"]
        self.old_classes = tuple(state["old_classes"])
        self.task_classes = tuple(state["task_classes"])

    def _grow(self, num_classes: int) -> None:
        """Give the head rows for so many classes in all, and the optimiser its state for them: zeros."""
        before = self.model.head.num_classes
        if num_classes <= before:
            return
        old = dict(self.model.named_parameters())
        seed = derive(self._seed, "init", "head", before)
        self.model.head.grow(num_classes, torch.Generator().manual_seed(seed))
        for name, new in self.model.named_parameters():
            if new is not old[name]:
                replace_parameter(self.optimizer, old[name], new)
