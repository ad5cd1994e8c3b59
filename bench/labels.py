"""What labels alone take of memory and time: a scenario of many images and classes without any pixels.

    python bench/labels.py [--images 20000] [--classes 10000] [--tasks 10] [--positives 5]

Labels are dense, a byte for each image and class, so bytes and seconds grow in proportion to both: the last line is the
sum for 10 million images, not a measurement. Each image has as many labels as `--positives` says, all of one task.
"""

import argparse
import time

import numpy as np
from _common import header

from clbench.arrays import LabelArray
from clbench.data.collection import Collection, LabelTable
from clbench.data.images import ArrayImages
from clbench.scenario.incremental import IncrementalOptions, assemble, axes
from clbench.scenario.tasks import Scenario

STREAM = 10_000_000
"""Images of the stream that is asked about."""


def labels(images: int, classes: int, tasks: int, positives: int) -> LabelArray:
    """Random ones (N, C), each image's of one task."""
    rng = np.random.default_rng(0)
    table = np.zeros((images, classes), np.uint8)
    size = classes // tasks
    for row in range(images):
        table[row, row % tasks * size + rng.choice(size, positives, replace=False)] = 1
    return table


def built(table: LabelArray, tasks: int) -> Scenario:
    """A scenario; a tenth of the images is tested on."""
    images, classes = table.shape
    names = tuple(f"c{column:05d}" for column in range(classes))
    ids = tuple(range(images))
    pixels = ArrayImages(np.zeros((images, 3, 1, 1), np.uint8))
    rows = np.arange(images)
    tested = rows // tasks % 10 == 0
    collection = Collection(LabelTable(ids, tuple(map(str, ids)), names, table), rows[~tested], rows[tested], pixels)
    size = classes // tasks
    options = IncrementalOptions(images="exclusive")
    parts = [names[task * size : (task + 1) * size] for task in range(tasks)]
    return assemble("labels", collection, parts, options, axes(options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--positives", type=int, default=5)
    given = parser.parse_args()
    print(header())
    table = labels(given.images, given.classes, given.tasks, given.positives)
    begun = time.process_time()
    scenario = built(table, given.tasks)
    building = time.process_time() - begun
    begun = time.process_time()
    scenario.manifest()
    hashing = time.process_time() - begun
    truth = scenario.labels.nbytes
    shown = sum(task.labels.nbytes + task.known.nbytes for task in scenario)
    print(f"{given.images:,} images x {given.classes:,} classes, {given.tasks} tasks, images=exclusive")
    print(f"truth {truth / 1e9:.2f} GB, shown by the tasks {shown / 1e9:.2f} GB")
    print(f"CPU seconds: building {building:.1f}, hashing for the manifest {hashing:.1f}")
    times = STREAM / given.images
    print(
        f"in proportion, {STREAM:,} images: {times * (truth + shown) / 1e9:,.0f} GB, "
        f"building {times * building / 60:,.0f} and hashing {times * hashing / 60:,.0f} CPU minutes"
    )


if __name__ == "__main__":
    main()
