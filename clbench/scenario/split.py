"""The most frequent classes of a dataset in tasks of equal size."""

from typing import ClassVar

import numpy as np

from clbench.data.collection import Collection, DataPart
from clbench.scenario import protocols
from clbench.scenario.incremental import Incremental
from clbench.scenario.sources import Dataset


class Split(Incremental):
    """The most frequent classes of a dataset in tasks of equal size: the kind of split that AGCN has.

    AGCN (ICME 2022; github.com/Kaile-Du/AGCN). Its lists name neither classes nor the rule that made them;
    ours takes the classes with the most training images, and draws for each image which of its tasks it enters.
    """

    source: ClassVar[Dataset]
    classes: ClassVar[int]
    step: ClassVar[int]

    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        return None

    def task_classes(self, collection: Collection) -> tuple[tuple[str, ...], ...]:
        counts = collection.table.labels[collection.train].sum(axis=0, dtype=np.int64)
        most = np.argsort(-counts, kind="stable")[: self.classes]
        names = protocols.ordered([collection.table.classes[c] for c in most], self.options.order)
        return tuple(
            tuple(names[c] for c in columns) for columns in protocols.blocks(self.classes, self.step, self.step)
        )

    def protocol(self) -> dict[str, str]:
        cut = f"{self.classes // self.step} tasks of {self.step}, the {self.classes} classes with most training images"
        return {
            "dataset": self.source.title,
            "tasks": cut,
            **super().protocol(),
            **self.source.axes(self.options),
        }

    def data_parts(self) -> tuple[DataPart, ...]:
        return self.source.parts(self.data_root)

    def collection(self) -> Collection:
        return self.source.read(self.data_root, self.options)
