"""The only training loop: it shows a strategy the stream, task after task, and evaluates it after each.

Sample order is a permutation from a generator of (seed, task, epoch); nothing here depends on worker count or timing.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clbench.errors import ClbenchError
from clbench.learning.batch import Batch
from clbench.learning.strategy import Criterion, Strategy, Values
from clbench.models.angle import AngleMeter
from clbench.models.losses import asymmetric, bce
from clbench.options import option
from clbench.randomness import generator
from clbench.scenario.tasks import Samples, Scenario, Task


@dataclass(frozen=True)
class TrainOptions:
    """How every strategy is trained. Defaults: PRS (Kim et al., ECCV 2020), as released."""

    epochs: int = option(1, "passes over each task; 1 is the online setting", at_least=1)
    batch_size: int = option(10, "images of the stream at each step", at_least=1)
    drop_last: bool = option(True, "leave out a task's last, smaller batch (unless it is the only one)")
    optimizer: str = option("adam", "adam, or sgd with momentum 0.9", choices=("adam", "sgd"))
    lr: float = option(1e-4, "learning rate, constant", above=0.0)
    weight_decay: float = option(0.0, "L2 term of the optimiser; PRS has none in effect", at_least=0.0)
    grad_clip: float = option(5.0, "largest absolute value of a gradient's entry; 0 for no clipping", at_least=0.0)
    loss: str = option("bce", "bce, or asl (Ridnik et al., arXiv 2009.14119)", choices=("bce", "asl"))
    reduction: str = option("mean", "over labels: mean, or sum (then mean over images)", choices=("mean", "sum"))
    threads: int = option(1, "threads of PyTorch on the CPU; sums are split among them, which changes bits", at_least=1)
    eval_batch_size: int = option(100, "test images in one forward pass; changes the last bits", at_least=1)


class Diverged(ClbenchError):
    """A loss or a score that is not finite.

    step: of the task, from 0; None where it was an evaluation. The trainer and the recorder know where.
    """

    def __init__(self, message: str, task: int | None = None, step: int | None = None) -> None:
        super().__init__(message)
        self.task = task
        self.step = step


@dataclass(frozen=True)
class Evaluation:
    """What one pass over the test images gave.

    logits: (N_test, C) float32, rows as in `Scenario.test_indices()`.
    positive_angle: degrees, None where the strategy does not score through the model's head.
    train_seconds: of the task just learned; eval_seconds: of this pass.
    memory_counts: for each class (C) the samples in the memory that are stored with it; None without a memory.
    """

    logits: npt.NDArray[np.float32]
    positive_angle: float | None
    train_seconds: float
    eval_seconds: float
    memory_counts: list[int] | None = None


@dataclass
class Progress:
    """How far a run is: with the strategy's state, all that is needed to go on.

    task, step: tasks, and steps of the present task, that are done. train_seconds: spent on the present task.
    """

    task: int = 0
    step: int = 0
    train_seconds: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)


class Listener:
    """Hears what happens in a run; every method may be left as it is."""

    def features(self, done: int, total: int) -> None:
        """So many of the missing blocks of a frozen backbone's maps are computed."""

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        """One of so many tasks begins, with that many steps to come."""

    def stepped(self, task: int, step: int, values: Values, images: int) -> None:
        """A step is done; `images` counts the new images of its batch. Called at every step: must not block."""

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        """A task's evaluation is done."""


def build_optimizer(options: TrainOptions, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a run, in its fused form (a fifth of the plain one's time on the CPU)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=options.lr, momentum=0.9, weight_decay=options.weight_decay, fused=True)
    return torch.optim.Adam(parameters, lr=options.lr, weight_decay=options.weight_decay, fused=True)


def build_criterion(options: TrainOptions) -> Criterion:
    """The loss of a run: (logits, labels, known) -> scalar."""
    return partial({"bce": bce, "asl": asymmetric}[options.loss], reduction=options.reduction)


def steps_per_epoch(images: int, options: TrainOptions) -> int:
    """Batches in one pass over a task."""
    if options.drop_last:
        return max(1, images // options.batch_size)
    return math.ceil(images / options.batch_size)


def stream(task: Task, number: int, options: TrainOptions, seed: int) -> Iterator[Samples]:
    """A task's batches in order, all epochs."""
    for epoch in range(options.epochs):
        order = generator(seed, "order", number, epoch).permutation(len(task.train))
        for step in range(steps_per_epoch(len(order), options)):
            rows = order[step * options.batch_size : (step + 1) * options.batch_size]
            yield Samples(task.train[rows], task.labels[rows], task.known[rows])


def train(
    strategy: Strategy,
    scenario: Scenario,
    options: TrainOptions,
    *,
    seed: int,
    listeners: Sequence[Listener] = (),
    progress: Progress | None = None,
) -> list[Evaluation]:
    """Learn a scenario with a strategy; one evaluation after each task, or one at the end for joint training.

    progress: where to start, kept up to date for listeners; the strategy must have the state that belongs to it.

    Raises:
        Diverged: a score is not finite (losses are watched by the listener that reads them).
    """
    test = scenario.test_indices()
    progress = progress or Progress()
    tasks = scenario.joined() if strategy.joint else scenario
    for number, task in list(enumerate(tasks))[progress.task :]:
        for listener in listeners:
            listener.task_started(number, len(tasks), options.epochs * steps_per_epoch(len(task.train), options))
        learn(strategy, task, number, stream(task, number, options, seed), listeners, progress)
        trained = time.perf_counter()
        try:
            logits, angle = evaluate(strategy, scenario, test, options.eval_batch_size)
        except Diverged as error:
            raise Diverged(str(error), number) from error
        seconds = time.perf_counter() - trained
        counts = None if strategy.memory is None else strategy.memory.labels.sum(0, np.int64).tolist()
        evaluation = Evaluation(logits, angle, progress.train_seconds, seconds, counts)
        progress.evaluations.append(evaluation)
        progress.task, progress.step, progress.train_seconds = number + 1, 0, 0.0
        for listener in listeners:
            listener.evaluated(number, evaluation)
    return progress.evaluations


def learn(
    strategy: Strategy,
    task: Task,
    number: int,
    batches: Iterator[Samples],
    listeners: Sequence[Listener],
    progress: Progress | None = None,
) -> None:
    """Show a strategy one task's batches, from the step on that `progress` says."""
    progress = progress or Progress(number)
    mark = time.perf_counter()
    strategy.model.train()
    if not progress.step:
        strategy.before_task(task)
    for samples in strategy.ahead(islice(batches, progress.step, None)):
        values = strategy.observe(strategy.load(samples))
        step, progress.step = progress.step, progress.step + 1
        now = time.perf_counter()
        progress.train_seconds, mark = progress.train_seconds + now - mark, now
        for listener in listeners:
            listener.stepped(number, step, values, len(samples.indices))
    strategy.after_task(task)
    if strategy.device.type == "cuda":
        torch.cuda.synchronize(strategy.device)  # or the seconds below would miss queued work
    progress.train_seconds += time.perf_counter() - mark


@torch.inference_mode()
def evaluate(
    strategy: Strategy, scenario: Scenario, indices: npt.NDArray[np.int64], batch_size: int
) -> tuple[npt.NDArray[np.float32], float | None]:
    """Logits (N, C) float32 of test images, and the mean positive angle of the classes learned, from one pass.

    Columns that the head has not grown to are NaN.

    Raises:
        Diverged: a logit is not finite.
        ClbenchError: logits of another shape than (B, C).
    """
    strategy.model.eval()
    learned = torch.zeros(scenario.num_classes, device=strategy.device)
    learned[list(strategy.old_classes)] = 1  # a class still to come has no angle worth its name
    parts = []
    with AngleMeter(strategy.model.head) as meter:
        for samples in strategy.ahead(_batches(scenario, indices, batch_size)):
            batch = strategy.load(samples)
            logits = strategy.predict(batch.images)
            _check_shape(strategy, logits, batch)
            meter.update(batch.labels * learned[: batch.labels.shape[1]])
            parts.append(logits.float())
    strategy.model.train()
    scores = torch.cat(parts).cpu().numpy()
    if not np.isfinite(scores).all():
        raise Diverged(f"Expected finite scores but {(~np.isfinite(scores)).sum()} of {scores.size} are not.")
    every = np.full((len(indices), scenario.num_classes), np.nan, np.float32)
    every[:, : scores.shape[1]] = scores
    return every, meter.mean()


def _batches(scenario: Scenario, indices: npt.NDArray[np.int64], batch_size: int) -> Iterator[Samples]:
    """Test images with the full truth."""
    for start in range(0, len(indices), batch_size):
        rows = indices[start : start + batch_size]
        labels = scenario.labels[rows]
        yield Samples(rows, labels, np.ones_like(labels, np.bool_))


def _check_shape(strategy: Strategy, logits: Tensor, batch: Batch) -> None:
    if logits.shape != batch.labels.shape:
        raise ClbenchError(
            f"Expected {type(strategy).__name__}.predict to return logits of shape {tuple(batch.labels.shape)} "
            f"but got {tuple(logits.shape)}."
        )
