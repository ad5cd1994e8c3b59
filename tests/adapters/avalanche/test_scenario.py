"""A scenario of clbench as Avalanche reads it."""

import numpy as np
import pytest
import torch

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.benchmarks.scenarios import split_online_stream
from torch.utils.data import DataLoader

import clbench
from clbench.adapters.avalanche import masked, masked_bce
from clbench.adapters.avalanche.scenario import encode
from clbench.arrays import IntArray
from clbench.models.losses import asymmetric, bce
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.scenario.tasks import Scenario


def scenario(name: str, view: str = "all", **settings: str) -> Scenario:
    return build_scenario(resolve(name, "finetune", view=view, settings=settings))


@pytest.mark.parametrize(
    "made",
    [
        scenario("debug"),
        scenario("debug-incremental", missing="masked"),
        scenario("debug-incremental", images="overlapping", view="validation:0.4"),
    ],
    ids=["whole", "growing", "validation"],
)
def test_streams_have_the_samples_of_the_tasks_and_hide_what_is_hidden(made: Scenario) -> None:
    streams = clbench.to_avalanche(made, torch.clone)
    assert [len(stream) for stream in (streams.train_stream, streams.test_stream)] == [len(made)] * 2
    for task, train, test in zip(made, streams.train_stream, streams.test_stream, strict=True):
        images, targets = next(iter(DataLoader(train.dataset, len(task.train))))
        assert torch.equal(images, made.images.read(task.train)) and targets.dtype == torch.float32
        assert np.array_equal(targets.numpy(), np.where(task.known, task.labels.astype(float), -1))
        images, targets = next(iter(DataLoader(test.dataset, len(task.test))))
        assert torch.equal(images, made.images.read(task.test))
        scored = np.ones_like(targets.numpy()) if made.scored is None else made.scored[task.test]
        assert np.array_equal(targets.numpy(), np.where(scored, made.labels[task.test].astype(float), -1))


def test_experiences_name_their_classes_and_no_task_labels() -> None:
    made = scenario("debug")
    streams = clbench.to_avalanche(made)
    second = streams.train_stream[1]
    assert (second.current_experience, second.origin_stream.name) == (1, "train")
    assert second.classes_in_this_experience == [2, 3] and second.previous_classes == [0, 1]
    assert second.classes_seen_so_far == [0, 1, 2, 3]
    assert not hasattr(second, "task_labels"), "every strategy of Avalanche's would ask for tasks of samples"


def test_images_are_scaled_unless_told_otherwise_and_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenario("debug")
    reads: list[int] = []
    read = type(made.images).read

    def reading(self: object, indices: IntArray) -> torch.Tensor:
        reads.extend(indices.tolist())
        return read(made.images, indices)

    monkeypatch.setattr(type(made.images), "read", reading)
    dataset = clbench.to_avalanche(made).train_stream[0].dataset
    assert reads == []
    image, _ = dataset[3]
    assert reads == [int(made[0].train[3])]
    assert torch.equal(image, read(made.images, made[0].train[[3]])[0].float() / 255)


def test_an_online_stream_can_be_split() -> None:
    stream = clbench.to_avalanche(scenario("debug")).train_stream
    parts = list(split_online_stream(stream, experience_size=3, drop_last=True))
    assert [len(part.dataset) for part in parts] == [3, 3] * 3


@pytest.mark.parametrize("criterion", [bce, asymmetric])
@pytest.mark.parametrize("columns", [6, 4])
def test_a_masked_loss_is_clbenchs_with_what_is_known(criterion: object, columns: int) -> None:
    assert callable(criterion)
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, columns, generator=rng)
    labels = torch.randint(2, (5, 6), generator=rng).float()
    known = torch.rand(5, 6, generator=rng) < 0.6
    expected = criterion(logits, labels[:, :columns], known[:, :columns])
    assert torch.equal(masked(criterion)(logits, encode(labels, known)), expected)
    if criterion is bce:
        assert torch.equal(masked_bce(logits, encode(labels, known)), expected)
