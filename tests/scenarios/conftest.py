import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clbench.randomness import generator
from scenarios.coco_seq import EXCLUDED, VOCABULARY

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
def write_coco() -> Callable[..., None]:
    """Writes a release of COCO with small random photographs: the last third of the images is its val part."""

    def write(
        root: Path,
        images: Mapping[int, Sequence[str]],
        *,
        release: str = "2017",
        names: Sequence[str] = (*VOCABULARY, *EXCLUDED),
        crowd: Sequence[int] = (),
        pixels: bool = True,
    ) -> None:
        (root / "annotations").mkdir(parents=True)
        ids, categories = sorted(images), [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
        for part, few in (("train", ids[: -(len(ids) // 3)]), ("val", ids[-(len(ids) // 3) :])):
            folder = f"{part}{release}"
            (root / folder).mkdir()
            prefix = f"COCO_{folder}_" if release == "2014" else ""
            files = {image: f"{prefix}{image:012d}.jpg" for image in few}
            content = {
                "images": [{"id": image, "file_name": file} for image, file in files.items()],
                "annotations": [
                    {"image_id": i, "category_id": names.index(name) + 1, "iscrowd": int(i in crowd)}
                    for i in few
                    for name in images[i]
                ],
                "categories": categories,
            }
            (root / "annotations" / f"instances_{folder}.json").write_text(json.dumps(content))
            for image, file in files.items() if pixels else ():
                noise = generator(image, "pixels").integers(256, size=(10, 14, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / folder / file)

    return write


@pytest.fixture(scope="session")
def write_lists() -> Callable[..., Path]:
    """Writes id lists, and PRS's column map, as they stand in a clone's `COCOseq`; returns that folder."""

    def write(folder: Path, lists: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> Path:
        (folder / "ids").mkdir(parents=True)
        for task, (train, test) in lists.items():
            for part, ids in (("train", train), ("test", test)):
                (folder / "ids" / f"{part}_task{task}_id_coco.json").write_text(json.dumps(list(ids)))
        columns = {name: number for number, name in enumerate(VOCABULARY)}
        (folder / "multihot_map.json").write_text(json.dumps(columns))
        return folder

    return write
