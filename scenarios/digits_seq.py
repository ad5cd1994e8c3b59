"""Handwritten digits on photographs, 20 labels in 5 tasks: the embedded default, nothing to download.

Source: none; ours, built like COCOseq (Kim, Jeong, Kim, ECCV 2020, arXiv 2009.03632): a scene holds labels of one task
only, the training stream is long-tailed with majority, moderate and minority labels in every task, and the test set is
class-balanced. Digits and photographs are scikit-learn's.

Matched: the data are the same bits everywhere (tests/scenarios/test_digits_seq.py::test_the_data_never_change). A scene
holds labels of one task (tests/scenarios/test_digits_seq.py::test_a_scene_holds_one_to_four_labels_of_its_task_only).
Training and test scenes share no digit and no pixel of a photograph
(tests/data/test_digits.py::test_the_parts_share_no_digit_and_no_pixel).

Differs: from COCOseq in everything else: made scenes of 48 px, 20 labels = 10 digits x light or dark ink, 15,000
training and 1,000 test scenes. This is the second edition; the manifest's hash tells it from the first, of 64 px and
5,000 scenes. Scene and stream were chosen for what joint training reaches and finetuning loses, so that scores are not
read while learning is still steep.

With `--set order=seed` each run draws from its own seed which labels make a task, in which order tasks come, and which
labels are frequent; the scenes are then others too, as a scene holds labels of one task.

Never run: on a GPU. No paper has numbers on it, and what helps here need not help on photographs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clbench.arrays import FloatArray, IntArray
from clbench.data.digits import CLASSES, SCENE, SceneMaker, label_row, makers
from clbench.options import option
from clbench.randomness import derive, generator
from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.protocols import BY_SEED, EXCLUSIVE
from clbench.scenario.tasks import GROUPS, Drawn, Scenario, Task

SEED = 20
"""Everything random in this scenario comes from it; changing it makes another scenario."""
TASKS = 5
PER_TASK = 4
TRAIN_SCENES, TEST_SCENES = 3000, 200
"""Scenes of each task."""
MAX_OBJECTS = 4
FIXED = "fixed"

Tasks = Sequence[Sequence[int]]
"""The label columns of each task."""


@dataclass(frozen=True)
class Options:
    """Which labels make a task."""

    order: str = option(
        FIXED,
        "order of the classes: always the same, or drawn from the run's seed",
        choices=(FIXED, BY_SEED),
        neutral=FIXED,
    )


class DigitsSeq(ScenarioBuilder):
    """Five tasks of four labels; see the module's docstring."""

    Options = Options
    defaults = {
        "train": {"lr": 1e-3},
        "model": {"backbone": "small"},
        "head.dlfl": {"heads": 4, "width": 96},
        "head.mldecoder": {"heads": 4, "width": 96, "feedforward": 384},
        "head.q2l": {"heads": 4, "width": 96, "feedforward": 384},
        "memory": {"size": 400},
    }

    @property
    def seeded(self) -> bool:
        return bool(self.options.order == BY_SEED)

    @property
    def source_seed(self) -> int:
        """Everything that differs between orders comes from it."""
        return derive(self.seed, "digits-seq") if self.seeded else SEED

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(CLASSES[c] for c in columns) for columns in class_tasks(self.source_seed))

    def protocol(self) -> dict[str, str]:
        return {
            **EXCLUSIVE,
            "class order": "drawn from the seed" if self.seeded else f"random, fixed seed {SEED}",
            "head": "all classes from the start",
            "image size": f"{SCENE} px, no augmentation",
        }

    def build(self) -> Scenario:
        from clbench.data.images import ArrayImages  # torch: late, so that listing stays quick

        parts = makers()
        seed = self.source_seed
        tasks = class_tasks(seed)
        by_rank = ranked(tasks, seed)
        weights = {"train": training_frequencies(by_rank), "test": np.ones(len(CLASSES))}
        scenes = {"train": TRAIN_SCENES, "test": TEST_SCENES}
        pixels, labels, rows = [], [], {}
        ids: list[int | str] = []
        for number, columns in enumerate(tasks):
            for part, maker in parts.items():
                rng = generator(seed, part, number)
                start = len(ids)
                for scene in range(scenes[part]):
                    drawn = draw_labels(columns, weights[part], rng)
                    pixels.append(maker.draw(drawn, rng))
                    labels.append(label_row(drawn))
                    ids.append(f"{part}-{number}-{scene}")
                rows[part, number] = np.arange(start, len(ids))
        truth = np.stack(labels)
        return Scenario(
            name=self.name,
            ids=tuple(ids),
            classes=CLASSES,
            labels=truth,
            images=ArrayImages(np.stack(pixels)),
            tasks=tuple(
                Task(
                    name=str(number),
                    classes=columns,
                    train=rows["train", number],
                    labels=truth[rows["train", number]],
                    known=np.ones((TRAIN_SCENES, len(CLASSES)), np.bool_),
                    test=rows["test", number],
                )
                for number, columns in enumerate(tasks)
            ),
            groups=frequency_groups(by_rank),
            protocol=self.protocol(),
            drawn=Drawn(self.seed, source_hash(parts)) if self.seeded else None,
        )


def source_hash(parts: Mapping[str, SceneMaker]) -> str:
    """What every seed's scenes are made from, and how: SHA-256 of sizes, and of what `SEED` gives at each draw."""
    tasks = class_tasks()
    by_rank = ranked(tasks)
    weights = training_frequencies(by_rank)
    sizes = TRAIN_SCENES, TEST_SCENES, MAX_OBJECTS
    digest = hashlib.sha256(repr((CLASSES, tasks, by_rank.tolist(), sizes)).encode())
    for part, maker in parts.items():
        for column in range(len(CLASSES)):
            rng = generator(SEED, "source", part, column)
            drawn = draw_labels(next(columns for columns in tasks if column in columns), weights, rng)
            digest.update(maker.draw(np.union1d(drawn, column), rng).tobytes())
    return digest.hexdigest()


def class_tasks(seed: int = SEED) -> tuple[tuple[int, ...], ...]:
    """Label columns of each task: a random order cut into fives."""
    order = generator(seed, "classes").permutation(len(CLASSES))
    return tuple(tuple(sorted(int(c) for c in order[t::TASKS])) for t in range(TASKS))


def training_frequencies(by_rank: IntArray) -> FloatArray:
    """Relative weight of each label column in the stream: exp(-3 rank / 19), a factor of 20 from head to tail.

    by_rank: see `ranked`.
    """
    weights = np.empty(len(CLASSES))
    weights[by_rank] = np.exp(-3 * np.arange(len(CLASSES)) / (len(CLASSES) - 1))
    return weights


def frequency_groups(by_rank: IntArray) -> dict[str, tuple[int, ...]]:
    """Majority (5 labels), moderate (10) and minority (5): ranks 0 to 4, 5 to 14 and 15 to 19, all tasks in each."""
    parts = by_rank[:TASKS], by_rank[TASKS:-TASKS], by_rank[-TASKS:]
    return {name: tuple(sorted(int(c) for c in part)) for name, part in zip(GROUPS, parts, strict=True)}


def ranked(tasks: Tasks, seed: int = SEED) -> IntArray:
    """Columns from the most to the least frequent: (C,) int64.

    Ranks go round the tasks, so every task has labels of the head, the middle and the tail.
    """
    rounds = []
    for place in range(PER_TASK):
        order = generator(seed, "ranks", place).permutation(TASKS)
        rounds.append([tasks[t][(place + t) % PER_TASK] for t in order])
    return np.array(rounds).ravel()


def draw_labels(columns: tuple[int, ...], weights: FloatArray, rng: np.random.Generator) -> IntArray:
    """One to four draws with replacement from a task's columns; equal draws become one label."""
    shares = weights[list(columns)] / weights[list(columns)].sum()
    drawn = rng.choice(columns, size=rng.integers(1, MAX_OBJECTS + 1), p=shares)
    return np.unique(drawn).astype(np.int64)
