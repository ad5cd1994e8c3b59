"""From a collection to tasks under every axis, by hand on ten images; and the words that tables print."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench import Scenario
from clbench.data.collection import Collection, LabelTable
from clbench.data.images import ArrayImages
from clbench.errors import DataError, UsageError
from clbench.scenario.incremental import Incremental, IncrementalOptions, assemble, axes, source_hash
from clbench.scenario.protocols import ordered
from clbench.testing import check_scenario

TASKS = (("cat", "ant"), ("dog",), ("bee",))
"""Other than the table's order of columns; the class fox is in no task."""
TRAIN = [["ant"], ["cat", "dog"], ["bee"], ["ant", "bee"], ["dog"], ["fox"]]
TEST = [["cat"], ["dog", "bee"], ["fox"], ["bee"]]
COLUMN = {"cat": 0, "ant": 1, "dog": 2, "bee": 3}


def collection(train: list[list[str]], test: list[list[str]], **more: Any) -> Collection:
    """Test images stand before training images, so that rows and places differ."""
    names = [*test, *train]
    classes = ("ant", "bee", "cat", "dog", "fox")
    labels = np.array([[int(each in shown) for each in classes] for shown in names], np.uint8)
    table = LabelTable(tuple(f"image {i}" for i in range(len(names))), ("",) * len(names), classes, labels)
    parts = np.split(np.arange(len(names)), [len(test)])
    return Collection(table, parts[1], parts[0], ArrayImages(np.zeros((len(names), 3, 2, 2), np.uint8)), **more)


def build(**options: Any) -> Scenario:
    chosen = IncrementalOptions(**options)
    return assemble("made", collection(TRAIN, TEST), TASKS, chosen, axes(chosen))


def rows(scenario: Scenario, part: str) -> list[list[int]]:
    return [getattr(task, part).tolist() for task in scenario]


def test_the_defaults_by_hand() -> None:
    scenario = build()
    check_scenario(scenario)
    assert (scenario.name, scenario.classes, scenario.growing) == ("made", ("cat", "ant", "dog", "bee"), True)
    assert [(task.name, task.classes) for task in scenario] == [("0", (0, 1)), ("1", (2,)), ("2", (3,))]
    assert scenario.labels.tolist() == [
        [int(each in shown) for each in COLUMN] for shown in [*TEST, *TRAIN]
    ]  # the class of no task is in no column
    assert rows(scenario, "train") == [[4, 5, 7], [5, 8], [6, 7]]  # an image enters every task that it shows
    assert rows(scenario, "test") == [[0], [1], [1, 3]]
    assert scenario[0].labels.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert scenario[2].labels.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]
    assert [task.known[0].tolist() for task in scenario] == [
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
    assert scenario.replay is not None and scenario.replay.groups == ((0, 1), (2,), (3,))
    assert (scenario.replay.missing, scenario.replay.policy) == ("negative", "frozen")


def test_masked_labels_are_not_known() -> None:
    scenario = build(missing="masked", replay_labels="forward")
    check_scenario(scenario)
    assert [np.flatnonzero(task.known[0]).tolist() for task in scenario] == [[0, 1], [2], [3]]
    assert scenario.replay is not None
    assert (scenario.replay.missing, scenario.replay.policy) == ("masked", "forward")


def test_exclusive_images_show_one_task_and_nothing_is_missing() -> None:
    scenario = build(images="exclusive", missing="masked")
    check_scenario(scenario)
    assert rows(scenario, "train") == [[4], [8], [6]]
    assert rows(scenario, "test") == [[0], [1], [1, 3]]  # the axis is of training images
    assert [int(task.known[0].sum()) for task in scenario] == [2, 3, 4]
    assert scenario.protocol["missing"] == "none (exclusive images)"


def test_a_disjoint_image_enters_one_task_drawn_with_the_seed() -> None:
    many = [["cat", "dog", "bee"]] * 40
    found = []
    for seed in (0, 0, 1):
        chosen = IncrementalOptions(images="disjoint", split_seed=seed)
        scenario = assemble("made", collection(many, TEST), TASKS, chosen, {})
        found.append(rows(scenario, "train"))
        assert sorted(sum(found[-1], [])) == list(range(4, 44)) and all(found[-1])
        assert rows(scenario, "test") == [[0], [1], [1, 3]]
    assert found[0] == found[1] != found[2]


def test_every_test_image_or_those_that_show_a_class() -> None:
    assert rows(build(eval_images="all"), "test") == [[0, 1, 2, 3]] * 3
    assert build().test_indices().tolist() == [0, 1, 3]


def test_what_is_left_out_is_noted() -> None:
    assert build().notes == ("5 of 6 training images enter a task", "no test image shows ant")
    absent = tuple(f"{i}.jpg" for i in range(1200))
    whole = collection([*TRAIN[:5], *TRAIN[:1]], [["ant"], *TEST], absent=absent, notes=("of a kind",))
    scenario = assemble("made", whole, TASKS, IncrementalOptions(), {})
    assert scenario.absent == absent
    assert scenario.notes == (
        "of a kind",
        "1,200 of 1,211 images are not there as files: left out, listed in absent.txt",
    )


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (TRAIN[:3], TEST[:1] + TEST[3:], r"a class of task 2 \(dog\) but got 1 and 0;"),
        ([["ant"], ["dog"], ["fox"]], TEST, r"a class of task 3 \(bee\) but got 0 and 2; complete the data"),
        ([["dog"], ["bee"]], TEST, r"a class of task 1 \(cat, ant\) but got 0 and 1;"),
    ],
)
def test_a_task_without_images_is_an_error(train: list[list[str]], test: list[list[str]], sentence: str) -> None:
    for which in ("seen-positive", "all"):  # with all of them a task would have test images of other classes
        with pytest.raises(DataError, match=sentence):
            assemble("made", collection(train, test), TASKS, IncrementalOptions(eval_images=which), {})


def test_the_words_of_the_axes() -> None:
    plain = IncrementalOptions()
    assert axes(plain) == {
        "images": "overlapping",
        "missing": "negative",
        "replay_labels": "frozen",
        "eval_images": "seen-positive",
        "threshold": "0.5",
        "class order": "alphabetical",
        "head": "grows with the tasks; scores of the classes so far",
    }
    drawn = axes(replace(plain, images="disjoint", split_seed=7, threshold=0.25, order="random:3"))
    assert (drawn["images"], drawn["threshold"], drawn["class order"]) == (
        "disjoint, drawn with seed 7",
        "0.25",
        "random:3",
    )
    assert axes(replace(plain, order="seed"))["class order"] == "drawn from the seed"


class Made(Incremental):
    """Knows its tasks before it has any data, or when it has."""

    late = False

    def collection(self) -> Collection:
        return collection(TRAIN, TEST)

    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        return None if self.late else TASKS

    def task_classes(self, collection: Collection) -> tuple[tuple[str, ...], ...]:
        return (collection.table.classes[:4],) if self.late else super().task_classes(collection)


def test_a_builder_needs_a_collection_and_its_tasks() -> None:
    built = Made(name="made").build()
    check_scenario(built)
    assert built.manifest() == build().manifest() and built.protocol == build().protocol
    late = Made(name="made")
    late.late = True
    assert late.build().classes == ("ant", "bee", "cat", "dog") and len(late.build()) == 1


@pytest.mark.parametrize("threshold", [1.0, 2.5])
def test_a_threshold_that_no_probability_passes_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match=f"Expected a threshold below 1 but got {threshold:g}"):
        Made(IncrementalOptions(threshold=threshold)).build()


class OneByOne(Made):
    """A task for each of four classes, in the order that the options say."""

    def collection(self) -> Collection:
        return collection(TRAIN, [["ant"], *TEST])

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in ordered(COLUMN_NAMES, self.order))


COLUMN_NAMES = tuple(COLUMN)
BY_SEED = OneByOne(IncrementalOptions(order="seed"), name="made")


def test_only_order_seed_is_drawn_and_is_the_random_order_of_that_seed() -> None:
    for order in ("alphabetical", "random:3"):
        builder = OneByOne(IncrementalOptions(order=order), name="made")
        assert not builder.seeded and builder.of_seed(5).build().drawn is None
    drawn, given = BY_SEED.of_seed(3).build(), OneByOne(IncrementalOptions(order="random:3"), name="made").build()
    assert drawn.drawn is not None and drawn.drawn.seed == 3
    assert drawn.manifest()["hash"] == given.manifest()["hash"] and drawn.classes == given.classes


@given(st.integers(0, 2**32))
def test_the_tasks_of_every_seed_are_a_partition_of_the_classes(seed: int) -> None:
    assert sorted(name for names in BY_SEED.of_seed(seed).tasks() for name in names) == sorted(COLUMN)


def test_the_source_is_all_that_is_drawn_from_and_nothing_that_is_drawn() -> None:
    whole, tasks = collection(TRAIN, TEST), [each.tasks() for each in map(BY_SEED.of_seed, range(6))]
    assert len(set(tasks)) > 1 and len({source_hash(whole, each) for each in tasks}) == 1
    own = source_hash(whole, tasks[0])
    other = [
        source_hash(collection([*TRAIN[:4], ["bee"], TRAIN[5]], TEST), tasks[0]),
        source_hash(collection(TRAIN, [*TEST[:3], ["dog"]]), tasks[0]),
        source_hash(collection(TRAIN[:5], TEST), tasks[0]),
        source_hash(replace(whole, images=ArrayImages(np.ones((10, 3, 2, 2), np.uint8))), tasks[0]),
        source_hash(replace(whole, train=whole.test, test=whole.train), tasks[0]),
        source_hash(whole, [tasks[0][0] + tasks[0][1], *tasks[0][2:]]),
        source_hash(whole, tasks[0][:3]),
    ]
    assert len({own, *other}) == 8
