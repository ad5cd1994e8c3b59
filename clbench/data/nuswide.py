"""NUS-WIDE from its official files: ImageList/, TrainTestLabels/, and the images by the list's relative paths.

Chua et al., "NUS-WIDE: A Real-World Web Image Database from National University of Singapore", CIVR 2009. An image is
known by its part and its 0-based line in the part's image list, `train/12`, as PRS's id lists count. Many of the
photographs can no longer be had; they are counted and listed, never silently left out.
"""

from pathlib import Path, PureWindowsPath

import numpy as np

from clbench.arrays import LabelArray
from clbench.data.coco import stays_inside
from clbench.data.collection import DataPart, LabelTable
from clbench.data.labels import kept
from clbench.errors import DataError

CLASSES = (
    "airport, animal, beach, bear, birds, boats, book, bridge, buildings, cars, castle, cat, cityscape, clouds, "
    "computer, coral, cow, dancing, dog, earthquake, elk, fire, fish, flags, flowers, food, fox, frost, garden, "
    "glacier, grass, harbor, horses, house, lake, leaf, map, military, moon, mountain, nighttime, ocean, person, "
    "plane, plants, police, protest, railroad, rainbow, reflection, road, rocks, running, sand, sign, sky, snow, "
    "soccer, sports, statue, street, sun, sunset, surf, swimmers, tattoo, temple, tiger, tower, town, toy, train, "
    "tree, valley, vehicle, water, waterfall, wedding, whales, window, zebra"
).split(", ")
"""The 81 concepts, alphabetical: the label files' names."""

PARTS = {"train": "Train", "test": "Test"}
SIZES = {"train": 161_789, "test": 107_859}
"""Official number of images."""

LABELS = ("TrainTestLabels", "Groundtruth/TrainTestLabels")
"""Where the label files may stand below the data root."""
FOLDERS = ("Flickr", "images", ".")
"""Where the images may stand; the first that exists."""


def data_parts(root: Path | None = None) -> tuple[DataPart, ...]:
    """What stands below a data root, by the names that are there."""
    labels, images = (LABELS[0], FOLDERS[0]) if root is None else _layout(root)
    return (
        DataPart("ImageList/TrainImagelist.txt", "161,789 image paths, of NUS-WIDE's ImageList archive"),
        DataPart("ImageList/TestImagelist.txt", "107,859 image paths, of the same archive"),
        DataPart(f"{labels}/", "162 files Labels_<concept>_{Train,Test}.txt; or below Groundtruth/"),
        DataPart(f"{images}/", "the photographs, by the lists' relative paths; or images/"),
    )


def _layout(root: Path) -> tuple[str, str]:
    """Folders of the label files and of the images, relative to the root."""
    labels = next((name for name in LABELS if (root / name).is_dir()), LABELS[0])
    return labels, next((name for name in FOLDERS if (root / name).is_dir()), ".")


def read_nuswide(root: Path) -> tuple[LabelTable, dict[str, int]]:
    """The table of both parts, train before test, and how many rows each has.

    Raises:
        DataError: a file that is missing, damaged, or of another length than its list; the sentence names file and
            line.
    """
    lists, folder = _layout(root)
    sources = [root / "ImageList" / f"{name}Imagelist.txt" for name in PARTS.values()]
    sources += [root / lists / f"Labels_{concept}_{name}.txt" for name in PARTS.values() for concept in CLASSES]
    table = kept(root, f"nuswide {folder}", sources, lambda: _parse(root, lists, folder))
    return table, {part: sum(str(image).startswith(f"{part}/") for image in table.ids) for part in PARTS}


def _parse(root: Path, lists: str, folder: str) -> LabelTable:
    ids: list[int | str] = []
    paths: list[str] = []
    labels = []
    for part, name in PARTS.items():
        images = _paths(root / "ImageList" / f"{name}Imagelist.txt")
        columns = [_column(root / lists / f"Labels_{concept}_{name}.txt", len(images)) for concept in CLASSES]
        ids += [f"{part}/{line}" for line in range(len(images))]
        paths += images if folder == "." else [f"{folder}/{path}" for path in images]
        labels.append(np.stack(columns, axis=1))
    return LabelTable(tuple(ids), tuple(paths), tuple(CLASSES), np.concatenate(labels))


def _paths(file: Path) -> list[str]:
    paths = []
    for place, line in enumerate(_read(file).decode("utf-8", "replace").splitlines(), start=1):
        if not stays_inside(line.strip()):
            raise DataError(f"Expected a relative image path in line {place} of {file} but got {line!r}; restore it.")
        paths.append(PureWindowsPath(line.strip()).as_posix())
    return paths


def _column(file: Path, images: int) -> LabelArray:
    """A label file: one 0 or 1 a line, in the order of the image list."""
    values = np.array(_read(file).split(), "S8")
    bad = np.flatnonzero((values != b"0") & (values != b"1"))
    if len(bad):
        got = values[bad[0]].decode("utf-8", "replace")
        raise DataError(f"Expected 0 or 1 in line {bad[0] + 1} of {file} but got {got!r}; restore it.")
    if len(values) != images:
        raise DataError(
            f"Expected {images:,} labels in {file}, one for each image of its list, but got {len(values):,}; "
            "restore the file."
        )
    labels: LabelArray = (values == b"1").astype(np.uint8)
    return labels


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"Expected NUS-WIDE's {file} but it is not there; unpack its ImageList and label archives into the data "
            "root."
        ) from error
    except OSError as error:
        raise DataError(f"Expected to read {file} but got: {error}; check the file and its permissions.") from error
