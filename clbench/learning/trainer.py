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
import torch
from torch import Tensor

from clbench.arrays import IntArray, ScoreArray
from clbench.errors import ClbenchError
from clbench.learning.batch import Batch
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.options import TrainOptions
from clbench.learning.strategy import Criterion, Strategy
from clbench.models.angle import AngleMeter
from clbench.models.losses import asymmetric, bce
from clbench.randomness import generator
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario, Task


@dataclass
class Progress:
    """How far a run is: with the strategy's state, all that is needed to go on.

    task, step: tasks, and steps of the present task, that are done. train_seconds: spent on the present task.
    feature_seconds: on the maps of a frozen backbone, in all processes that have worked on the run.
    """

    task: int = 0
    step: int = 0
    train_seconds: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    feature_seconds: float = 0.0


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
            listener.stepped(number, step, values, samples)
    strategy.after_task(task)
    if strategy.device.type == "cuda":
        torch.cuda.synchronize(strategy.device)  # or the seconds below would miss queued work
    progress.train_seconds += time.perf_counter() - mark


@torch.inference_mode()
def evaluate(
    strategy: Strategy, scenario: Scenario, indices: IntArray, batch_size: int
) -> tuple[ScoreArray, float | None]:
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


def _batches(scenario: Scenario, indices: IntArray, batch_size: int) -> Iterator[Samples]:
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
