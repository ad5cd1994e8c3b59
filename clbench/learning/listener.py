"""Hears what happens in a run: what the trainer tells, and to whom."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clbench.arrays import IntArray, ScoreArray
from clbench.errors import ClbenchError
from clbench.learning.batch import Values
from clbench.scenario.samples import Samples


class Diverged(ClbenchError):
    """A loss or a score that is not finite.

    step: of the task, from 0; None where it was an evaluation. batch: dataset indices of the step's new images, int64.
    The trainer and the recorder know where.
    """

    def __init__(
        self, message: str, task: int | None = None, step: int | None = None, batch: IntArray | None = None
    ) -> None:
        super().__init__(message)
        self.task, self.step, self.batch = task, step, batch


@dataclass(frozen=True)
class Evaluation:
    """What one pass over the test images gave.

    logits: (N_test, C) float32, rows as in `Scenario.test_indices()`.
    positive_angle: degrees, None where the strategy does not score through the model's head; angle_by_positives: the
        same of images with M positives, see `AngleMeter.by_positives`.
    train_seconds: of the task just learned; eval_seconds: of this pass.
    memory_counts: for each class (C) the samples in the memory that are stored with it; None without a memory.
    """

    logits: ScoreArray
    positive_angle: float | None
    train_seconds: float
    eval_seconds: float
    memory_counts: list[int] | None = None
    angle_by_positives: list[list[float]] = field(default_factory=list)


class Listener:
    """Hears what happens in a run; every method may be left as it is."""

    def said(self, message: str) -> None:
        """What a person should know, in one sentence: a damaged checkpoint, where a run goes on, what could not be."""

    def features(self, done: int, total: int) -> None:
        """So many of the missing blocks of a frozen backbone's maps are computed."""

    def features_ready(self, seconds: float) -> None:
        """The maps of a frozen backbone are there; checking and computing them took so long."""

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        """One of so many tasks begins, with that many steps to come."""

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        """A step is done; `samples` are the new ones of its batch. Called at every step: must not block."""

    def evaluating(self, task: int, done: int, total: int) -> None:
        """So many of the test images are scored; called before each of their batches: must not block."""

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        """A task's evaluation is done."""


def voice(listeners: Sequence[Listener]) -> Callable[[str], None]:
    """Says a message to every one of the listeners."""

    def say(message: str) -> None:
        for listener in listeners:
            listener.said(message)

    return say
