"""Thirty-two random images of 8 x 8 px in 3 tasks of 2 labels: for contract tests, hidden from listings."""

import numpy as np

from clbench.randomness import generator
from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.protocols import EXCLUSIVE
from clbench.scenario.tasks import Scenario, Task

CLASSES = ("a", "b", "c", "d", "e", "f")
TASKS = ((0, 1), (2, 3), (4, 5))
TRAIN, TEST = (0, 1, 2, 3, 4, 5, 6), (7, 8, 9)
"""Images of each task by their place in it; two images belong to no task."""


class Debug(ScenarioBuilder):
    """Noise that nothing can be learned from, in the shape of a scenario."""

    defaults = {
        "train": {"batch_size": 3, "lr": 1e-3},
        "model": {"backbone": "small"},
        "head.dlfl": {"heads": 2, "width": 8},
        "head.mldecoder": {"heads": 2, "width": 8, "feedforward": 16},
        "head.q2l": {"heads": 2, "width": 8, "feedforward": 16},
        "memory": {"size": 5},
    }

    def tasks(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(CLASSES[c] for c in columns) for columns in TASKS)

    def protocol(self) -> dict[str, str]:
        return {
            **EXCLUSIVE,
            "class order": "alphabetical",
        }

    def build(self) -> Scenario:
        from clbench.data.images import ArrayImages  # torch: late, so that listing stays quick

        rng = generator(0, "debug")
        images = rng.integers(256, size=(32, 3, 8, 8), dtype=np.uint8)
        labels = np.zeros((32, len(CLASSES)), np.uint8)
        tasks = []
        for number, columns in enumerate(TASKS):
            rows = np.arange(10 * number, 10 * number + 10)
            labels[np.ix_(rows, np.array(columns))] = rng.integers(2, size=(10, len(columns)))
            labels[rows, np.resize(columns, 10)] = (
                1  # every image has a label, and every label an image in train and test
            )
            train, test = rows[list(TRAIN)], rows[list(TEST)]
            known = np.ones((len(train), len(CLASSES)), np.bool_)
            tasks.append(Task(str(number), columns, train, labels[train], known, test))
        return Scenario(
            name=self.name,
            ids=tuple(range(32)),
            classes=CLASSES,
            labels=labels,
            images=ArrayImages(images),
            tasks=tuple(tasks),
            groups={"majority": (0, 2, 4), "minority": (1, 3, 5)},
            protocol=self.protocol(),
        )
