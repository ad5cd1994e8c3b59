"""The only training loop: it shows a strategy the stream, task after task, and evaluates it after each.

Sample order is a permutation from a generator of (seed, task, epoch); nothing here depends on worker count or timing.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from clbench.arrays import IntArray, ScoreArray
from clbench.errors import ClbenchError
from clbench.learning.batch import check_values
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.options import TrainOptions
from clbench.learning.place import placed
from clbench.learning.stage import Stage, stages
from clbench.learning.strategy import Criterion, Strategy
from clbench.memory import Memory
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
    learned: whether the present task is learned to its end, and is to be evaluated.
    """

    task: int = 0
    step: int = 0
    train_seconds: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    feature_seconds: float = 0.0
    learned: bool = False


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
        PluginError: `observe` returned no scalars by name, or no `loss`. What else a strategy raises is passed on with
            a note that says where, see `clbench.learning.place`.
    """
    test = scenario.test_indices()
    progress = progress or Progress()
    tasks, options = _learned(strategy, scenario, options)
    for stage in islice(stages_of(tasks, options), progress.task, None):
        for listener in listeners:
            listener.task_started(stage.number, len(tasks), stage.steps)
        if progress.learned:  # and stopped while it was evaluated
            with placed(strategy, stage.number):
                strategy.enter(stage, fresh=False)
        else:
            learn(strategy, stage, stream(stage.task, stage.number, options, seed), listeners, progress)
        progress.learned = True
        trained = time.perf_counter()
        try:
            with placed(strategy, stage.number):
                asked = partial(_asked, stage, listeners)
                logits, angle, by_positives = evaluate(strategy, scenario, test, options.eval_batch_size, asked)
        except Diverged as error:
            raise Diverged(str(error), stage.number) from error
        seconds = time.perf_counter() - trained
        counts = None if strategy.memory is None else _counts(strategy.memory, scenario.num_classes)
        evaluation = Evaluation(logits, angle, progress.train_seconds, seconds, counts, by_positives)
        progress.evaluations.append(evaluation)
        progress.task, progress.step, progress.train_seconds, progress.learned = stage.number + 1, 0, 0.0, False
        for listener in listeners:
            listener.evaluated(stage.number, evaluation)
    return progress.evaluations


def joint_options(scenario: Scenario, options: TrainOptions, passes: int) -> TrainOptions:
    """How all tasks are learned at once: as many epochs as make at least `passes` times the steps of the stream."""
    stream_steps = options.epochs * sum(steps_per_epoch(len(task.train), options) for task in scenario)
    steps = steps_per_epoch(len(scenario.train_indices()), options)
    return replace(options, epochs=math.ceil(passes * stream_steps / steps))


def steps_of(scenario: Scenario, options: TrainOptions) -> list[int]:
    """The steps of every task."""
    return [options.epochs * steps_per_epoch(len(task.train), options) for task in scenario]


def steps_of_run(strategy: Strategy, scenario: Scenario, options: TrainOptions) -> list[int]:
    """The steps of every task of a run with a strategy; of joint training one number for all tasks."""
    return steps_of(*_learned(strategy, scenario, options))


def _learned(strategy: Strategy, scenario: Scenario, options: TrainOptions) -> tuple[Scenario, TrainOptions]:
    """What a strategy learns task after task, and how."""
    if strategy.joint:
        return scenario.joined(), joint_options(scenario, options, strategy.passes)
    return scenario, options


def stages_of(scenario: Scenario, options: TrainOptions) -> Iterator[Stage]:
    """Every task as its strategy sees it."""
    return stages(scenario, steps_of(scenario, options))


def learn(
    strategy: Strategy,
    stage: Stage,
    batches: Iterator[Samples],
    listeners: Sequence[Listener] = (),
    progress: Progress | None = None,
) -> None:
    """Show a strategy one task's batches, from the step on that `progress` says."""
    progress = progress or Progress(stage.number)
    mark = time.perf_counter()
    with placed(strategy, stage.number):
        strategy.enter(stage, fresh=not progress.step)
    for samples in strategy.loader.ahead(islice(batches, progress.step, None)):
        with placed(strategy, stage.number, progress.step):
            values = strategy.observe(strategy.load(samples))
        check_values(values, f"{type(strategy).__name__}.observe")
        step, progress.step = progress.step, progress.step + 1
        now = time.perf_counter()
        progress.train_seconds, mark = progress.train_seconds + now - mark, now
        for listener in listeners:
            listener.stepped(stage.number, step, values, samples)
    with placed(strategy, stage.number):
        strategy.after_task(stage)
    if strategy.engine.size > 1:
        _check_alike(strategy, stage)
    if strategy.device.type == "cuda":
        torch.cuda.synchronize(strategy.device)  # or the seconds below would miss queued work
    progress.train_seconds += time.perf_counter() - mark


def _check_alike(strategy: Strategy, stage: Stage) -> None:
    """That the processes that share a run have learned the same. Raises ClbenchError."""
    state = strategy.state() if strategy.resumable else Strategy.state(strategy)
    strategy.engine.check_alike(state | {"random state": torch.get_rng_state()}, f"after task {stage.number + 1}")


def _asked(stage: Stage, listeners: Sequence[Listener], done: int, total: int) -> None:
    for listener in listeners:
        listener.evaluating(stage.number, done, total)


def _counts(memory: Memory, classes: int) -> list[int]:
    """For each class the stored samples that say it."""
    counts: list[int] = memory.labels.sum(0, np.int64).tolist()
    return counts + [0] * (classes - len(counts))


@torch.inference_mode()
def evaluate(
    strategy: Strategy,
    scenario: Scenario,
    indices: IntArray,
    batch_size: int,
    ahead: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[ScoreArray, float | None, list[list[float]]]:
    """Logits (N, C) float32 of test images, and what `AngleMeter` says of the classes learned, from one pass.

    Columns that the head has not grown to are NaN. ahead: called before each batch with the images that are done, and
    their number; may raise.

    Raises:
        Diverged: a logit is not finite.
        ClbenchError: logits of another shape than (B, C).
    """
    learned = np.isin(np.arange(scenario.num_classes), strategy.stage.seen)
    parts: list[Tensor] = []
    with strategy.evaluating(), AngleMeter(strategy.model.head) as meter:
        for samples in strategy.loader.ahead(_unlabelled(scenario, indices, batch_size)):
            ahead(batch_size * len(parts), len(indices))
            logits = strategy.predict(strategy.loader.inputs(samples.indices))
            _check_shape(strategy, logits, len(samples))
            # a class still to come has no angle worth its name
            truth = (scenario.tested(samples.indices) & learned)[:, : logits.shape[1]].astype(np.float32)
            meter.update(strategy.loader.on_device(torch.from_numpy(strategy.engine.share(truth))))
            parts.append(logits.float())
        meter.add_up(strategy.engine.total)
    scores = torch.cat(parts).cpu().numpy()
    if not np.isfinite(scores).all():
        raise Diverged(f"Expected finite scores but {(~np.isfinite(scores)).sum()} of {scores.size} are not.")
    every = np.full((len(indices), scenario.num_classes), np.nan, np.float32)
    every[:, : scores.shape[1]] = scores
    return every, meter.mean(), meter.by_positives()


def _unlabelled(scenario: Scenario, indices: IntArray, batch_size: int) -> Iterator[Samples]:
    """Test images; of their labels nothing is said."""
    for start in range(0, len(indices), batch_size):
        rows = indices[start : start + batch_size]
        blank = np.zeros((len(rows), scenario.num_classes))
        yield Samples(rows, blank.astype(np.uint8), blank.astype(np.bool_))


def _check_shape(strategy: Strategy, logits: Tensor, images: int) -> None:
    expected = (images, strategy.model.head.num_classes)
    if tuple(logits.shape) != expected:
        raise ClbenchError(
            f"Expected {type(strategy).__name__}.predict to return logits of shape {expected} but got "
            f"{tuple(logits.shape)}."
        )
