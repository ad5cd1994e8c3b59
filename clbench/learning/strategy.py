"""The Strategy contract: a strategy says how one batch changes the model. The trainer does everything else.

    "Replay whose old samples weigh double: an example."

    from torch import Tensor

    from clbench import Batch, Replay, Strategy

    class WeightedReplay(Strategy):
        memory_policy = "reservoir"

        def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
            losses = {"loss": self.loss(batch)}
            if replay:
                losses["replayed"] = 2 * self.loss(replay)
            return losses

A strategy never logs, prints, evaluates or touches a file: `losses` returns what is to become small.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clbench.arrays import IntArray
from clbench.learning.batch import Batch, Replay, Values, check_values, joined
from clbench.learning.cues import ModelCues
from clbench.learning.engine import Engine
from clbench.learning.loader import Loader
from clbench.learning.optim import follow_growth
from clbench.learning.options import TrainOptions
from clbench.learning.stage import Stage
from clbench.learning.tally import Tally
from clbench.memory import Cues, Memory
from clbench.models.features import FeatureSource
from clbench.models.network import Network
from clbench.options import NoOptions
from clbench.randomness import derive, generator
from clbench.scenario.samples import Samples

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits (B, C), labels (B, C), known (B, C)) -> scalar loss."""


@dataclass(frozen=True)
class Setup:
    """What a run hands to its strategy: everything is built and seeded.

    options, train: of the strategy, and of the run. optimizer: parameters -> the run's optimiser for them. features: a
    network with a frozen backbone -> the source of its maps. engine: how steps are shared among processes.
    """

    options: Any
    train: TrainOptions
    model: Network
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    criterion: Criterion
    memory: Memory | None
    loader: Loader
    features: Callable[[Network], FeatureSource]
    device: torch.device
    seed: int
    engine: Engine = field(default_factory=Engine)


class Strategy:
    """One subclass per file; the file's name is the strategy's name on the command line.

    As it stands it is experience replay where there is a memory, and finetuning where there is none. A subclass says
    what is new: mostly `losses`, else `observe`. One that keeps something between batches gives it to `state` and takes
    it back in `load_state`, as tensors and JSON values, so that a run can be resumed exactly.

    What learning takes is counted for every subclass (`clbench.learning.tally`): steps of `optimizer`, and images whose
    loss goes back through the model. An optimiser of one's own is set as `optimizer`. Replayed images are told by the
    `inputs` of a batch, as `recall`, `join` and `dataclasses.replace` give them: other inputs that are made of them,
    augmented ones for example, are put into such a batch; rows that are cut out of `inputs` count as new.

    Several processes may share a run: then `inputs` are this one's, and all else, labels and what the model says of
    them, is the whole batch's, the same in each. `gathered` gives what is made of `inputs` without the model, `reduced`
    gradients that are taken neither by `step` nor by `backward`.
    """

    Options: ClassVar[type[Any]] = NoOptions
    head: ClassVar[str] = "linear"
    """Default head; `--head` chooses another."""
    memory_policy: ClassVar[str | None] = None
    """Default memory; None for none. `--memory` chooses another."""
    joint: ClassVar[bool] = False
    """True: trained on all tasks at once instead of one after another."""
    resumable: ClassVar[bool] = True
    """False: its state cannot be saved; its runs have no checkpoints, and one that is stopped begins again."""
    shareable: ClassVar[bool] = True
    """False: it learns in a way of its own that several processes cannot share; then one process runs it."""
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Section (`strategy`, `memory`, `head`, `model`, `train`) -> options whose defaults differ with this strategy."""
    scenario_defaults: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """The same by scenario name, for options that differ on one scenario."""

    stage: Stage
    """Where the run is, from before the first task on."""

    def __init__(self, setup: Setup) -> None:
        self.options = setup.options
        self.train_options = setup.train
        self.model = setup.model
        self.memory = setup.memory
        self.device = setup.device
        self.criterion = setup.criterion
        self.loader = setup.loader
        self.engine = setup.engine
        self._setup = setup
        self._optimizer: torch.optim.Optimizer | None = None
        self._columns = [self.model.head.num_classes]
        self._replay = generator(setup.seed, "replay")
        self.tally = Tally()
        self.tally.watch_model(self.model)
        if self.engine.size > 1:
            self.model.joined = partial(joined, self.engine)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        """Why this strategy cannot be run so, in one sentence; None where it can."""
        return None

    @property
    def passes(self) -> int:
        """Of joint training: passes over the stream of all tasks for each of its epochs."""
        return 1

    # What a subclass says

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        """What the step makes smaller: the sum of these scalars, which are recorded under their names.

        Among them is `loss`. Pure: no step, no memory, and no value is read on the host, which would wait for the
        device. replay: drawn from the memory; None where it is empty, or there is none.
        """
        return {"loss": self.loss(batch.join(replay))}

    def observe(self, batch: Batch) -> Values:
        """Learn from one batch of the stream: recall, losses, step, remember. Returns scalars, among them `loss`."""
        losses = self.losses(batch, self.recall(len(batch)))
        check_values(losses, f"{type(self).__name__}.losses")
        self.step(reduce(torch.add, losses.values()))
        self.remember(batch)
        return {name: loss.detach() for name, loss in losses.items()}

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) float32 of a batch's `inputs`; the trainer has set everything to evaluation.

        C: the columns of the model's head, which in some scenarios grow with the tasks.
        """
        logits: Tensor = self.model(inputs)
        return logits

    def modules(self) -> dict[str, nn.Module]:
        """Everything that learns, by name; training and evaluation mode, clipping, state and parameter count follow."""
        return {"model": self.model}

    def memory_bytes(self) -> int:
        """What is kept of the past: stored images, uint8 (3, S, S) each, and what the memory keeps beside them.

        A subclass that keeps more adds it. Labels and indices, which every memory has, are not counted.
        """
        if self.memory is None:
            return 0
        return len(self.memory) * self.loader.image_bytes + self.memory.payload_bytes

    def before_task(self, stage: Stage) -> None:
        """Called before a task's first batch. Overriding methods call `super().before_task(stage)` first.

        Where the scenario's head grows with the tasks it grows here, and the optimiser with it.
        """
        self._grow(stage.columns)
        if self.memory is not None:
            self.memory.introduce(len(stage.task.classes), max(self.memory.columns, stage.columns))

    def after_task(self, stage: Stage) -> None:
        """Called after a task's last batch, before evaluation. Overriding methods call `super().after_task(stage)`."""
        if self.memory is not None:
            self.memory.settle(stage.task.samples.cut(self.memory.columns), self._cues())
            self.loader.keep(self.memory.indices)

    # What subclasses call

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser that `step` takes: unless another is set, the run's, over `parameters()`."""
        if self._optimizer is None:
            self.optimizer = self.new_optimizer(self.parameters())
        assert self._optimizer is not None
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        self.tally.watch_optimizer(optimizer)
        self._optimizer = optimizer

    def new_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The run's kind of optimiser, at its learning rate, for some parameters."""
        return self._setup.optimizer(parameters)

    def parameters(self) -> list[nn.Parameter]:
        """Every trainable tensor of `modules()`. A head that grows has more of them afterwards, somewhere between."""
        return list(self.named_parameters().values())

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The same by name, which stays as the head grows, e.g. ``model.head.classifier.bias_rows.0``."""
        return {
            f"{key}.{name}": parameter
            for key, module in self.modules().items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    def load(self, samples: Samples) -> Batch:
        """The samples with their inputs, on the device, with the labels of the columns that the head has."""
        return self.loader(samples).cut(self.model.head.num_classes)

    def over(self, samples: Samples, batch_size: int | None = None) -> Iterator[Batch]:
        """The samples in their order, batch by batch; by default of `eval_batch_size`."""
        size = batch_size or self.train_options.eval_batch_size
        for part in self.loader.ahead(_cut(samples, size)):
            yield self.load(part)

    def gathered(self, batch: Batch, rows: Tensor) -> Tensor:
        """What was made of a batch's `inputs` (b, …), of all its samples: (B, …), in its order."""
        return self.engine.gather(rows, batch.parts)

    def reduced(self, gradient: Tensor) -> Tensor:
        """A gradient with respect to parameters, from the whole batch's loss: of what all processes have of it."""
        if self.engine.size > 1:
            self.engine.average([gradient])
        return gradient

    def loss(self, batch: Batch) -> Tensor:
        """The run's criterion on a batch; honours `known`."""
        return self.criterion(self.model(batch.inputs), batch.labels, batch.known)

    def step(self, loss: Tensor) -> None:
        """One optimiser step on `loss`, with the run's gradient clipping (by value)."""
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(loss)
        self.apply()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of the whole batch's loss to those that the parameters have."""
        loss.backward()  # type: ignore[no-untyped-call]
        if self.engine.size > 1:
            self.engine.average([p.grad for p in self.parameters() if p.grad is not None])

    def apply(self) -> None:
        """One optimiser step on the gradients that the parameters have, with the run's clipping."""
        if self.train_options.grad_clip:
            nn.utils.clip_grad_value_(self.parameters(), self.train_options.grad_clip)
        self.optimizer.step()

    def recall(self, new: int) -> Replay | None:
        """Samples drawn from the memory without replacement; None where there are none, or no memory.

        new: how many new images there are; so many are drawn, unless the option `replay_batch` says another number.
        """
        if self.memory is None or not len(self.memory):
            return None
        slots = self.draw(self.memory.options.replay_batch or new, self._replay)
        if not len(slots):
            return None
        stored = self.memory.stored(slots)
        batch = self.load(self.stage.replay(stored) if self.stage.replay else stored)
        kept = self.memory.kept(slots)
        return Replay(batch.inputs, batch.labels, batch.known, batch.samples, slots, kept, parts=batch.parts)

    def draw(self, n: int, generator: np.random.Generator) -> IntArray:
        """The slots (<= n,) of a memory that is not empty whose samples `recall` gives: any, unless overridden."""
        assert self.memory is not None
        return self.memory.sample(n, generator)

    def remember(self, batch: Batch, **kept: Tensor) -> None:
        """Offer a batch of the stream to the memory, if there is one.

        kept: (B, …) each, what is to stand beside the samples; declared before by `memory.keep`.
        """
        if self.memory is not None:
            slots = self.memory.update(batch.samples, self._cues())
            self.memory.put(slots, kept)
            self.loader.keep(self.memory.indices)

    def freeze(self) -> None:
        """From now on the backbone stays as it is, in evaluation, and the map of each image is computed once.

        The optimiser begins afresh, with what still learns.
        """
        self.model.freeze()
        self.loader.read_from(self._setup.features(self.model))
        self._optimizer = None

    def gradients(self, samples: Samples, loss: Callable[[Batch], Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Of each sample alone the gradient of `loss` with respect to `parameters()`, in evaluation mode.

        loss: a batch of one -> scalar, or (K,), whose entries' gradients then come one after another: a backward pass
        each. One gradient is held at a time. Of processes that share the run each computes all of them.
        """
        parameters = self.parameters()
        with self.evaluating():  # a batch of one has no batch statistics
            for one in self.loader.ahead(_cut(samples, 1)):
                batch = self.loader(one, whole=True).cut(self.model.head.num_classes)
                entries = loss(batch).reshape(-1).unbind()
                for place, entry in enumerate(entries, start=1):
                    yield torch.autograd.grad(entry, parameters, retain_graph=place < len(entries))

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A generator of this strategy's own for one purpose, e.g. ``self.generator("fisher", task)``."""
        return generator(self._setup.seed, "strategy", *purpose)

    def enter(self, stage: Stage, *, fresh: bool = True) -> None:
        """Begin to learn a task; not `fresh` where it was begun already and the state of that moment is back."""
        self.stage = stage
        self.train()
        if fresh:
            self.before_task(stage)

    def train(self, mode: bool = True) -> None:
        """Set everything that learns to training, or to evaluation."""
        for module in self.modules().values():
            module.train(mode)
        self.tally.paused = not mode

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Everything in evaluation, and in training again afterwards."""
        self.train(False)
        try:
            yield
        finally:
            self.train()

    # What a run's state is

    def state(self) -> dict[str, Any]:
        """Everything that changes while learning: tensors, arrays and JSON values only."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules().items()},
            "columns": list(self._columns),
            "frozen": self.model.frozen,
            "optimizer": self.optimizer.state_dict(),
            "memory": None if self.memory is None else self.memory.state(),
            "replay": self._replay.bit_generator.state,
            "tally": self.tally.counts and dict(self.tally.counts),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. `stage` is set afterwards."""
        self._grow(*state["columns"])
        for name, module in self.modules().items():
            module.load_state_dict(state["modules"][name])
        if state["frozen"] and not self.model.frozen:
            self.freeze()
        self.optimizer.load_state_dict(state["optimizer"])
        if self.memory is not None:
            self.memory.load_state(state["memory"])
            self.loader.keep(self.memory.indices)
        self._replay.bit_generator.state = state["replay"]
        counts = state.get("tally")
        self.tally.counts = counts and dict(counts)

    def _grow(self, *columns: int) -> None:
        """Give the head rows for so many classes in all, growth by growth, and tell the optimiser of them."""
        for count in columns:
            if count <= self._columns[-1]:
                continue
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            seed = derive(self._setup.seed, "init", "head", self._columns[-1])
            self.model.head.grow(count, torch.Generator().manual_seed(seed))
            self._columns.append(count)
            if self._optimizer is not None:
                follow_growth(self._optimizer, trained, list(self.model.parameters()))

    def _cues(self) -> Cues | None:
        """What the memory may ask of the model; None for one that needs nothing."""
        if self.memory is None or not self.memory.needs:
            return None
        return ModelCues(
            self.memory, features=self._features, gradients=self._gradients, mean_gradient=self._mean_gradient
        )

    @torch.no_grad()
    def _features(self, samples: Samples) -> Iterator[Tensor]:
        with self.evaluating():
            for batch in self.over(samples):
                yield self.gathered(batch, self.model.map_of(batch.inputs).mean((2, 3)))

    def _gradients(self, samples: Samples) -> Iterator[Tensor]:
        for gradients in self.gradients(samples, self.loss):
            yield _row(gradients)

    def _mean_gradient(self, samples: Samples) -> Iterator[Tensor]:
        """Their mean: images with equally many known labels go together, since their loss is the mean of their own."""
        parameters, known = self.parameters(), samples.known[:, : self.model.head.num_classes].sum(axis=1)
        total = torch.zeros(1, sum(parameter.numel() for parameter in parameters), device=self.device)
        with self.evaluating():
            for count in np.unique(known):
                for batch in self.over(samples.rows(np.flatnonzero(known == count))):
                    row = self.reduced(_row(torch.autograd.grad(self.loss(batch), parameters)))
                    total += row * (len(batch) / len(samples))
        yield total


def _row(gradients: Iterable[Tensor]) -> Tensor:
    """Gradients of all parameters, one after another: (1, P)."""
    return torch.cat([gradient.flatten() for gradient in gradients])[None]


def _cut(samples: Samples, size: int) -> Iterator[Samples]:
    """The samples in their order, so many at a time."""
    for start in range(0, len(samples), size):
        yield samples.rows(np.arange(start, min(start + size, len(samples))))
