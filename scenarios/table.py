"""Your own images: a CSV or Parquet file of image paths and labels, and a TOML file that says how to cut them.

`--data-root DIR` holds `table.toml` (or `--set table=FILE`), the table and the images:

    name = "animals"        # the scenario's name in results is table-animals
    file = "labels.csv"     # or .parquet; relative to DIR, as images' paths are
    image = "path"          # column with the image's path
    split = "split"         # column with train or test
    labels = "labels"       # one column with a list, separated by `separator`
    separator = "|"         # or, instead of both, a column of 0 and 1 for each:
    # classes = ["cat", "dog"]
    tasks = [["cat", "dog"], ["owl"]]   # in order; or: base = 0, step = 2

How images, labels and evaluation follow from the tasks are options here, as in the class-incremental scenarios.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clbench.arrays import BoolArray
from clbench.data.collection import Collection, DataPart, LabelTable, used, without_missing
from clbench.data.table import Description, read_description, read_table
from clbench.errors import UsageError
from clbench.options import option
from clbench.scenario.incremental import Incremental, IncrementalOptions
from clbench.scenario.protocols import blocks, ordered


@dataclass(frozen=True)
class Options(IncrementalOptions):
    order: str = option(
        "given", "order of the classes with base and step: given, alphabetical, random:SEED, seed, or names"
    )
    table: str = option("", "FILE, the TOML file; else table.toml below the data root", path=True)
    image_size: int = option(224, "height and width of the images in pixels", at_least=1)
    allow_missing: bool = option(False, "leave out images that are not there, counted, instead of failing")


class Table(Incremental):
    """Whatever the TOML file describes; see the module's docstring."""

    Options = Options
    holds = "table.toml and the images"

    @cached_property
    def description(self) -> Description:
        """The TOML file, checked. Raises UsageError and DataError."""
        if self.data_root is None:
            raise UsageError("Expected --data-root DIR, the folder of table.toml and the images, but got none.")
        return read_description(Path(self.options.table) if self.options.table else self.data_root / "table.toml")

    @property
    def name(self) -> str:
        return f"table-{self.description.name}" if self.data_root else "table"

    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        if self.data_root is None:
            return None
        return self.description.tasks or None

    def task_classes(self, collection: Collection) -> tuple[tuple[str, ...], ...]:
        if self.description.tasks:
            if self.options.order != "given":
                raise UsageError(f"Expected no order where {self.description.source} gives the tasks; leave it out.")
            return self.description.tasks
        names: Sequence[str] = collection.table.classes
        if self.options.order != "given":
            names = ordered(names, self.order)
        cut = blocks(len(names), self.description.base, self.description.step)
        return tuple(tuple(names[c] for c in columns) for columns in cut)

    def protocol(self) -> dict[str, str]:
        given = self.data_root is not None and bool(self.description.tasks)
        axes = super().protocol() | ({"class order": "given"} if given else {})
        return {**axes, "image size": f"{self.options.image_size} px, bicubic, no augmentation"}

    def data_parts(self) -> tuple[DataPart, ...]:
        described = DataPart("table.toml", "what `clbench show table` describes; it names the table and the images")
        if self.data_root is None:
            return (described,)
        return described, DataPart(self.description.file, "the table: image paths, labels, parts")

    def collection(self) -> Collection:
        from clbench.data.cache import open_images  # torch: late, so that listing stays quick

        root, options = self.data_root, self.options
        description = self.description  # raises where there is no root
        assert root is not None
        table, training = read_table(root, description)
        shown = np.asarray(table.labels.any(axis=1))
        train = np.flatnonzero(training & shown)
        test = np.flatnonzero(~training if options.eval_images == "all" else ~training & shown)
        train, gone = without_missing(root, table, train, allow_missing=options.allow_missing)
        test, gone_too = without_missing(root, table, test, allow_missing=options.allow_missing)
        notes = _notes(table, description.tasks, ~shown & training, ~shown & ~training)
        table, train, test = used(table, train, test)
        images = open_images(root, table.paths, options.image_size)
        return Collection(table, train, test, images, (*gone, *gone_too), notes)


def _notes(table: LabelTable, tasks: Sequence[Sequence[str]], train: BoolArray, test: BoolArray) -> tuple[str, ...]:
    """What a table has otherwise than one may think. train, test: (N,), the rows without a label."""
    named = {name for names in tasks for name in names}
    over = [name for name in table.classes if name not in named] if tasks else []
    notes = [f"{len(over):,} classes of the table are in no task: {', '.join(over)}"] if over else []
    for rows, part in ((train, "training"), (test, "test")):
        if rows.any():
            first = table.paths[int(rows.argmax())]
            notes.append(f"{rows.sum():,} {part} images show none of the {len(table.classes)} classes, first {first}")
    return tuple(notes)
