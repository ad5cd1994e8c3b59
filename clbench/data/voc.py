"""PASCAL VOC 2007 from its official folders: VOCdevkit/VOC2007/{ImageSets/Main, JPEGImages}.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010. The labels are those of
`ImageSets/Main/<class>_{trainval,test}.txt`: 1 where an image shows the class, 0 where it shows only objects of it that
are marked difficult, -1 where it shows none.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from clbench.data.archives import unpack
from clbench.data.collection import DataPart, LabelTable
from clbench.errors import DataError
from clbench.files import OWN

CLASSES = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person, "
    "pottedplant, sheep, sofa, train, tvmonitor"
).split(", ")
"""The 20 classes, alphabetical."""

DIFFICULT = ("exclude", "include")
"""What an object marked difficult does when an image shows no other of its class: nothing, or shows it."""

SIZES = {"trainval": 5011, "test": 4952}
"""Official number of images."""

FOLDER = "VOCdevkit/VOC2007"


def data_parts(root: Path | None = None) -> tuple[DataPart, ...]:
    """What stands below a data root."""
    return (
        DataPart(f"{FOLDER}/ImageSets/Main/", "image lists and labels, of host.robots.ox.ac.uk/pascal/VOC/voc2007"),
        DataPart(f"{FOLDER}/JPEGImages/", "9,963 photographs, trainval and test, of the same place"),
    )


def download(root: Path) -> None:
    """Fetch both parts from the place that torchvision knows, check them, and unpack them below the root.

    Raises:
        DataError: no network, other bytes than expected, or a full disk. What is there already is not fetched again.
    """
    from torchvision.datasets.utils import download_url  # late: it imports torch
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    place = root / OWN
    for year, part in (("2007", "trainval"), ("2007-test", "test")):
        source = DATASET_YEAR_DICT[year]
        archive = place / source["filename"]
        # an archive that is still there was not unpacked to its end: its lists come before its photographs
        if (root / FOLDER / "ImageSets" / "Main" / f"{part}.txt").exists() and not archive.exists():
            continue
        try:
            download_url(source["url"], place, source["filename"], source["md5"])
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"Expected to fetch {source['filename']} from {source['url']} but got: {error}; try again later, or "
                f"unpack it into {root} yourself."
            ) from error
        unpack(archive, root)
        archive.unlink()


def read_voc(root: Path, *, difficult: str = "exclude") -> tuple[LabelTable, dict[str, int]]:
    """The table of both parts, trainval before test, and how many rows each has.

    difficult: one of `DIFFICULT`.

    Raises:
        DataError: a list that is missing or damaged, or names other images than the others; the sentence names file
            and line.
    """
    lists = root / FOLDER / "ImageSets" / "Main"
    ids: list[int | str] = []
    labels, sizes = [], {}
    for part in SIZES:
        names = [line for (line,) in _lines(lists / f"{part}.txt", 1)]
        twice = next((name for name, count in Counter([*ids, *names]).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"Expected each image once but {lists / f'{part}.txt'} names {twice} again; restore it.")
        columns = [_column(lists / f"{name}_{part}.txt", names, difficult) for name in CLASSES]
        ids += names
        labels.append(np.stack(columns, axis=1))
        sizes[part] = len(names)
    paths = tuple(f"{FOLDER}/JPEGImages/{name}.jpg" for name in ids)
    return LabelTable(tuple(ids), paths, tuple(CLASSES), np.concatenate(labels)), sizes


def _column(file: Path, names: list[str], difficult: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """One class's labels of the images `names`."""
    lines = _lines(file, 2)
    if [name for name, _ in lines] != names:
        raise DataError(f"Expected {file} to name the images of its part's list in the same order; restore it.")
    for place, (_, value) in enumerate(lines, start=1):
        if value not in ("-1", "0", "1"):
            raise DataError(f"Expected -1, 0 or 1 in line {place} of {file} but got {value!r}; restore it.")
    positive = ("1",) if difficult == "exclude" else ("0", "1")
    return np.array([value in positive for _, value in lines], np.uint8)


def _lines(file: Path, fields: int) -> list[tuple[str, ...]]:
    """The fields of each line. Raises DataError."""
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise DataError(
            f"Expected VOC's {file} but it is not there; unpack VOC2007's trainval and test archives into the data "
            "root, or fetch them with `clbench data prepare voc-b0-c4 --download`."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"Expected {file} to be a text file but got: {error}; restore it.") from error
    lines = []
    for place, line in enumerate(text.splitlines(), start=1):
        parts = tuple(line.split())
        if len(parts) != fields or "/" in parts[0] or "\\" in parts[0] or parts[0].startswith("."):
            wanted = "an image name" if fields == 1 else "an image name and a label"
            raise DataError(f"Expected {wanted} in line {place} of {file} but got {line!r}; restore it.")
        lines.append(parts)
    if not lines:
        raise DataError(f"Expected images in {file} but it is empty; restore it.")
    return lines
