from collections.abc import Sequence

import numpy as np
import pytest
import torch
from streams import samples

from clbench.arrays import IntArray, ScoreArray
from clbench.learning.trainer import stages_of, stream
from clbench.memory import NOT_STORED, Cues, Size
from clbench.memory.herding import Herding, herd
from clbench.randomness import generator
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples


class Angles(Cues):
    """Features of two dimensions at given angles (in degrees) of each dataset index, at any length."""

    def __init__(self, angles: Sequence[float]) -> None:
        self.angles = np.radians(angles)

    def features(self, samples: Samples) -> ScoreArray:
        angles = self.angles[samples.indices]
        lengths = 1 + samples.indices % 3
        rows: ScoreArray = (lengths * np.stack([np.cos(angles), np.sin(angles)])).T.astype(np.float32)
        return rows

    def gradients(self, samples: Samples, *, mean: bool = False) -> ScoreArray:
        raise AssertionError("herding needs no gradients")


def make(size: str, columns: int) -> Herding:
    return Herding(Herding.Options(size=Size(size)), columns, generator(0, "memory"))


def task(first: int, labels: list[list[int]]) -> Samples:
    return samples(first + np.arange(len(labels)), np.array(labels, np.uint8))


def in_plain_loops(features: ScoreArray, count: int) -> list[int]:
    mean, chosen = features.mean(0, dtype=np.float64), list[int]()
    while len(chosen) < count:
        left = [i for i in range(len(features)) if i not in chosen]
        distances = [np.linalg.norm(mean - features[[*chosen, i]].mean(0, dtype=np.float64)) for i in left]
        chosen.append(left[int(np.argmin(distances))])
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_that_of_plain_loops(seed: int) -> None:
    features = generator(seed, "features").standard_normal((60, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    for count in (1, 7, 60):
        assert herd(features, count).tolist() == in_plain_loops(features, count)
    assert herd(features, 99).tolist() == in_plain_loops(features, 60)


def test_of_equals_the_first_is_chosen() -> None:
    features = generator(0, "features").standard_normal((7, 33)).astype(np.float32)
    chosen = herd(np.tile(features, (5, 1)), 20).tolist()
    assert len(set(chosen)) == 20
    for place, row in enumerate(chosen):
        assert set(range(row % 7, row, 7)) <= set(chosen[:place]), "an equal that stands before it was chosen before it"


def test_the_chosen_ones_mean_is_nearer_than_that_of_any_random_choice() -> None:
    rng = generator(0, "features")
    features = rng.standard_normal((200, 8)).astype(np.float32)
    mean = features.mean(0)

    def distance(rows: IntArray) -> float:
        return float(np.linalg.norm(features[rows].mean(0) - mean))

    found = distance(herd(features, 20))
    assert found < 0.5 * min(distance(rng.choice(200, 20, replace=False)) for _ in range(1000))


def test_lengths_of_features_do_not_matter_and_the_middle_one_comes_first() -> None:
    memory = make("2", 1)
    memory.introduce(1, 1)
    memory.settle(task(0, [[1]] * 5), Angles([0, 24, 30, 50, 70]))
    # The mean stands at 35 degrees: 30 comes first, and then, on its other side, 50.
    assert memory.lists == {0: [2, 3]} and memory.indices.tolist() == [2, 3]


def test_lists_shrink_to_their_first_images_as_classes_come() -> None:
    angles = 2 * [0, 5, 11, 18, 26, 35, 45, 56]
    memory = make("6", 2)
    memory.introduce(1, 2)
    memory.settle(task(0, [[1, 0]] * 8), Angles(angles))
    assert len(memory) == 6
    whole, labels = memory.lists[0], memory.labels.copy()
    memory.introduce(1, 2)
    assert (memory.update(task(8, [[0, 1]] * 8)) == NOT_STORED).all()
    assert memory.indices.tolist() == whole, "within a task memory holds older tasks alone"
    memory.settle(task(8, [[0, 1]] * 8), Angles(angles))
    assert memory.lists == {0: whole[:3], 1: [8 + index for index in whole[:3]]}
    assert memory.indices.tolist() == [*memory.lists[0], *memory.lists[1]]
    assert np.array_equal(memory.labels[:3], labels[:3]) and memory.labels[3:].tolist() == [[0, 1]] * 3


def test_so_many_a_class_is_what_each_class_has_for_good() -> None:
    memory, angles = make("3/class", 1), list(range(24))
    for number in range(3):
        memory.introduce(1, number + 1)
        rows = [[int(column == number) for column in range(number + 1)]] * 8
        memory.settle(task(8 * number, rows), Angles(angles))
        assert [len(listed) for listed in memory.lists.values()] == [3] * (number + 1)
        assert len(memory) == 3 * (number + 1)


def test_an_image_of_several_classes_is_kept_once() -> None:
    memory = make("4", 2)
    memory.introduce(2, 2)
    memory.settle(task(0, [[1, 1], [1, 1], [1, 1], [0, 1]]), Angles([0, 18, 40, 60]))
    # The first class's mean stands at 19 degrees: 18, then 40. The second's at 30: 40, then, on its other side, 18.
    assert memory.lists == {0: [1, 2], 1: [2, 1]} and memory.indices.tolist() == [1, 2]


def test_a_memory_smaller_than_the_classes_keeps_the_first_rank_as_far_as_it_goes() -> None:
    memory = make("3", 5)
    memory.introduce(5, 5)
    memory.settle(task(0, np.eye(5, dtype=int).tolist()), Angles(range(5)))
    assert memory.indices.tolist() == [0, 1, 2] and memory.lists == {0: [0], 1: [1], 2: [2], 3: [], 4: []}


def test_under_replay_a_task_is_learned_beside_older_tasks_alone() -> None:
    config = resolve("debug", "er", memory="herding", settings={"size": "2/class"})
    prepared = Prepared(config, build_scenario(config))
    strategy, options = build_strategy(prepared, 0, torch.device("cpu")), config.options["train"]
    assert strategy.memory is not None
    older = set[int]()
    for stage in list(stages_of(prepared.scenario, options))[:2]:
        strategy.enter(stage)
        for batch in stream(stage.task, stage.number, options, 0):
            replay = strategy.recall(len(batch))
            assert set(replay.samples.indices.tolist() if replay else []) <= older and (replay is None) == (not older)
            strategy.observe(strategy.load(batch))
        strategy.after_task(stage)
        older |= set(stage.task.samples.indices.tolist())
        assert 0 < len(strategy.memory) <= strategy.memory.size and set(strategy.memory.indices.tolist()) <= older
