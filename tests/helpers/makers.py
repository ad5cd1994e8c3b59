"""Small collections with the official layouts of COCO, VOC 2007 and NUS-WIDE, lists of PRS's kind, label matrices."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from clbench.arrays import LabelArray
from clbench.data import nuswide, voc
from clbench.randomness import generator
from scenarios.coco_seq import EXCLUDED, VOCABULARY

Groups = tuple[tuple[int, ...], ...]
"""The columns of each task."""


def photograph(file: Path, seed: int) -> None:
    """Noise of 14 x 10 px."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = generator(seed, "pixels").integers(256, size=(10, 14, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


def write_coco(
    root: Path,
    images: Mapping[int, Sequence[str]],
    *,
    release: str = "2017",
    names: Sequence[str] = (*VOCABULARY, *EXCLUDED),
    crowd: Sequence[int] = (),
    pixels: bool = True,
) -> None:
    """images: id -> categories; the last third of them is the val part. crowd: ids whose objects are crowd regions."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
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
            photograph(root / folder / file, image)


def write_lists(
    folder: Path,
    lists: Mapping[str, tuple[Sequence[int | str], Sequence[int | str]]],
    *,
    suffix: str = "coco",
    columns: Sequence[str] = VOCABULARY,
) -> Path:
    """Id lists, and PRS's map of these columns, as they stand in a clone's `COCOseq`; returns that folder."""
    (folder / "ids").mkdir(parents=True)
    for task, (train, test) in lists.items():
        for part, ids in (("train", train), ("test", test)):
            (folder / "ids" / f"{part}_task{task}_id_{suffix}.json").write_text(json.dumps(list(ids)))
    (folder / "multihot_map.json").write_text(json.dumps({name: number for number, name in enumerate(columns)}))
    return folder


def write_voc(root: Path, images: Mapping[str, Sequence[Mapping[str, int]]], *, pixels: bool = True) -> None:
    """images: part (trainval, test) -> for each image, class -> 1, or 0 where all its objects are difficult."""
    lists = root / voc.FOLDER / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (root / voc.FOLDER / "JPEGImages").mkdir(exist_ok=True)
    number = 0
    for part, rows in images.items():
        names = [f"{number + i:06d}" for i in range(len(rows))]
        number += len(rows)
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for each in voc.CLASSES:
            lines = [f"{name} {row.get(each, -1):2d}\n" for name, row in zip(names, rows, strict=True)]
            (lists / f"{each}_{part}.txt").write_text("".join(lines))
        for name in names if pixels else ():
            photograph(root / voc.FOLDER / "JPEGImages" / f"{name}.jpg", int(name))


def write_nuswide(
    root: Path, images: Mapping[str, Sequence[Sequence[str]]], *, pixels: bool = True, folder: str = "Flickr"
) -> None:
    """images: part (train, test) -> concepts of each image, in the order of the list."""
    (root / "ImageList").mkdir(parents=True, exist_ok=True)
    (root / "TrainTestLabels").mkdir(exist_ok=True)
    (root / folder).mkdir(exist_ok=True)
    for part, rows in images.items():
        name = nuswide.PARTS[part]
        paths = [f"{part}\\{line:04d}_{line}.jpg" for line in range(len(rows))]
        (root / "ImageList" / f"{name}Imagelist.txt").write_text("".join(f"{path}\n" for path in paths))
        sets = [set(row) for row in rows]
        for concept in nuswide.CLASSES:
            lines = "".join("1\n" if concept in row else "0\n" for row in sets)
            (root / "TrainTestLabels" / f"Labels_{concept}_{name}.txt").write_text(lines)
        for line, path in enumerate(paths if pixels else ()):
            photograph(root / folder / path.replace("\\", "/"), line)


def every_class_twice(classes: Sequence[str], images: int, seed: int) -> list[list[str]]:
    """So many images that each class is shown at least twice, alone or beside up to two others."""
    rng = generator(seed, "labels")
    assert images >= 2 * len(classes)
    return [
        sorted({classes[i % len(classes)], *(classes[int(c)] for c in rng.integers(len(classes), size=i % 3))})
        for i in range(images)
    ]


@st.composite
def grouped_labels(draw: st.DrawFn) -> tuple[LabelArray, Groups]:
    """A label matrix and its columns cut into tasks, one after another."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    labels = draw(arrays(np.uint8, (draw(st.integers(1, 30)), sum(sizes)), elements=st.integers(0, 1)))
    ends = np.cumsum([0, *sizes])
    return labels, tuple(tuple(range(a, b)) for a, b in zip(ends[:-1], ends[1:], strict=True))
