"""A clbench scenario as Avalanche's: a stream of experiences to train on and one to test on."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLScenario, DatasetExperience, EagerCLStream
from avalanche.benchmarks.utils.data import AvalancheDataset
from torch import Tensor
from torch.utils.data import Dataset

from clbench.learning.strategy import Criterion
from clbench.models.losses import bce
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario

HIDDEN = -1.0
"""A target that is hidden: Avalanche's batches have no place for a mask. It is not NaN, which a sum would pass on."""

Transform = Callable[[Tensor], Tensor]
"""Image (3, S, S) uint8 -> what a model takes."""


def encode(labels: Tensor, known: Tensor) -> Tensor:
    """Targets float32 of labels in [0, 1] and what is known of them, all of one shape."""
    return torch.where(known, labels, HIDDEN)


def masked(criterion: Criterion) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of clbench as Avalanche calls it: logits (B, C), targets (B, K) with K >= C -> scalar.

    The targets' first C columns count: a head that is still to grow has logits for those alone.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        targets = targets[:, : logits.shape[1]]
        return criterion(logits, targets.clamp(min=0), targets >= 0)

    return loss


def masked_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, a mean over what is known: `clbench.models.losses.bce` on targets as `encode` gives them.

    logits: (B, C). targets: (B, K) float32, K >= C, of which the first C columns count.
    """
    return masked(bce)(logits, targets)


def scaled(image: Tensor) -> Tensor:
    """An image as float32 in [0, 1]."""
    return image.float() / 255


class SampleDataset(Dataset[tuple[Tensor, Tensor]]):
    """(image, targets (C,) float32) of each sample, in their order; pixels are read when they are asked for."""

    def __init__(self, samples: Samples, read: Callable[[Samples], Tensor]) -> None:
        """read: a sample -> what the model takes of it."""
        self._samples, self._read = samples, read

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        one = self._samples.rows(np.array([row]))
        image, labels = self._read(one), torch.from_numpy(one.labels[0].astype(np.float32))
        return image, encode(labels, torch.from_numpy(one.known[0])).to(image.device)


class Experience(DatasetExperience[AvalancheDataset]):
    """A task. It has no `task_labels`, which would make Avalanche ask for a data set with a task for each sample.

    classes_in_this_experience, classes_seen_so_far, previous_classes: columns of targets and logits, as Avalanche's
        own experiences name them; its `IncrementalClassifier` grows by the first.
    """

    def __init__(
        self, dataset: Dataset[tuple[Tensor, Tensor]], number: int, classes: Sequence[int], previous: Sequence[int]
    ) -> None:
        super().__init__(dataset=AvalancheDataset([dataset]), current_experience=number)
        self.classes_in_this_experience = list(classes)
        self.previous_classes = list(previous)
        self.classes_seen_so_far = [*previous, *classes]


def streams(scenario: Scenario, transform: Transform) -> CLScenario:
    """What `clbench.to_avalanche` gives."""

    def read(samples: Samples) -> Tensor:
        return transform(scenario.images.read(samples.indices)[0])

    train: list[Experience] = []
    test: list[Experience] = []
    previous: list[int] = []
    for number, task in enumerate(scenario):
        scored = np.ones((len(task.test), scenario.num_classes), np.bool_)
        if scenario.scored is not None:
            scored = scenario.scored[task.test]
        asked = Samples(task.test, scenario.tested(task.test), scored)
        for found, samples in ((train, task.samples), (test, asked)):
            found.append(Experience(SampleDataset(samples, read), number, task.classes, previous))
        previous += task.classes
    return CLScenario([EagerCLStream("train", train), EagerCLStream("test", test)])
