from pathlib import Path

import pytest
from makers import every_class_twice, write_coco, write_nuswide, write_voc

from clbench.data import coco, nuswide, voc

MADE: dict[str, tuple[str, ...]] = {
    "0": ("train", "tv", "toothbrush"),
    "3": ("skis", "laptop"),
    "1": ("car", "chair", "couch"),
    "2": ("boat", "bed"),
}
"""Task -> its classes in the made collection."""
TRAIN, TEST = 6, 3


def images_of(task: str) -> dict[int, list[str]]:
    """Nine images: the task's classes in turn, every fourth with two of them, every other with a person."""
    classes = MADE[task]
    return {
        100 * (int(task) + 1) + i: sorted({classes[i % len(classes)], classes[i // 4 % len(classes)]})
        + ["person"] * (i % 2)
        for i in range(TRAIN + TEST)
    }


@pytest.fixture(scope="session")
def made_images() -> dict[int, list[str]]:
    """COCO image id -> categories, 36 images in 4 tasks that share no class."""
    return {image: names for task in MADE for image, names in images_of(task).items()}


@pytest.fixture(scope="session")
def made_lists() -> dict[str, tuple[list[int], list[int]]]:
    """Task -> training and test ids, in an order that is not that of the numbers."""
    ids = {task: list(images_of(task))[::-1] for task in MADE}
    return {task: (image[:TRAIN], image[TRAIN:]) for task, image in ids.items()}


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """Dataset -> a folder of made files: 3 images of each class in training, 2 in the test part or more."""
    made: dict[str, Path | None] = {"digits": None}
    for name in ("coco", "voc", "nuswide"):
        made[name] = tmp_path_factory.mktemp(name)
    images = every_class_twice(coco.CLASSES, 480, 0)  # the last third is val
    assert made["coco"] and made["voc"] and made["nuswide"]
    write_coco(made["coco"], dict(enumerate(images, start=1)), release="2014", names=coco.CLASSES)
    parts = {"trainval": every_class_twice(voc.CLASSES, 60, 1), "test": every_class_twice(voc.CLASSES, 40, 2)}
    write_voc(made["voc"], {part: [dict.fromkeys(row, 1) for row in rows] for part, rows in parts.items()})
    write_nuswide(
        made["nuswide"],
        {"train": every_class_twice(nuswide.CLASSES, 243, 3), "test": every_class_twice(nuswide.CLASSES, 162, 4)},
    )
    return made
