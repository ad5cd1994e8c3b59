"""COCO's instances annotations (Lin et al., ECCV 2014, arXiv 1405.0312) as a table of image-level labels.

A label says that an image shows at least one object of a category; boxes and masks are not used. The reader is plain
JSON: it checks what it uses and says where a file is damaged, and it never leaves an image out.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import repr as short
from typing import Any

import numpy as np

from clbench.data.collection import DataPart, LabelTable
from clbench.data.labels import kept
from clbench.errors import DataError

CROWD = ("include", "exclude")
"""What a crowd region (`iscrowd` 1, one mask over many objects) does: shows its category, or nothing."""

LAYOUTS = (("train2014", "val2014"), ("train2017", "val2017"))
"""The two releases, by the names of their parts. They hold the same 123,287 images, cut differently."""

CLASSES = tuple(
    sorted(
        (
            "airplane, apple, backpack, banana, baseball bat, baseball glove, bear, bed, bench, bicycle, bird, boat, "
            "book, bottle, bowl, broccoli, bus, cake, car, carrot, cat, cell phone, chair, clock, couch, cow, cup, "
            "dining table, dog, donut, elephant, fire hydrant, fork, frisbee, giraffe, hair drier, handbag, horse, "
            "hot dog, keyboard, kite, knife, laptop, microwave, motorcycle, mouse, orange, oven, parking meter, "
            "person, pizza, potted plant, refrigerator, remote, sandwich, scissors, sheep, sink, skateboard, skis, "
            "snowboard, spoon, sports ball, stop sign, suitcase, surfboard, teddy bear, tennis racket, tie, toaster, "
            "toilet, toothbrush, traffic light, train, truck, tv, umbrella, vase, wine glass, zebra"
        ).split(", ")
    )
)
"""The 80 categories, alphabetical."""

AN_ID = "an id, an integer from 0 to 2^63 - 1"


@dataclass(frozen=True)
class Layout:
    """The annotation files below a data root.

    parts: (instances json, image folder's name) each. absent: instances jsons of the same release that are not there,
    relative to the root.
    """

    parts: tuple[tuple[Path, str], ...]
    absent: tuple[str, ...]


def find_layout(root: Path) -> Layout:
    """The release that stands below `root`: the one with more of its parts, 2014 before 2017.

    Raises:
        DataError: no instances json at all.
    """
    layouts = []
    for release in LAYOUTS:
        files = {part: f"annotations/instances_{part}.json" for part in release}
        there = {part: file for part, file in files.items() if (root / file).is_file()}
        absent = tuple(file for part, file in files.items() if part not in there)
        layouts.append(Layout(tuple((root / file, part) for part, file in there.items()), absent))
    fullest = max(layouts, key=lambda layout: len(layout.parts))
    if not fullest.parts:
        wanted = " or ".join(f"{{{','.join(layout.absent)}}}" for layout in layouts)
        raise DataError(
            f"Expected COCO's {wanted} below {root} but found none of them; download annotations and images from "
            "cocodataset.org, unpack them into one folder and give it as --data-root."
        )
    return fullest


def data_parts(root: Path | None = None) -> tuple[DataPart, ...]:
    """What stands below a data root: of release 2014, or of 2017 where that is the one that is there."""
    release = "2014"
    with suppress(DataError):
        release = find_layout(root).parts[0][1][-4:] if root else release
    sizes = {"2014": (82_783, 13, 40_504, 6), "2017": (118_287, 18, 5_000, 1)}[release]
    parts = []
    for part, images, size in (("train", *sizes[:2]), ("val", *sizes[2:])):
        note = f"annotations, annotations_trainval{release}.zip of cocodataset.org"
        parts.append(DataPart(f"annotations/instances_{part}{release}.json", note))
        photographs = f"{images:,} photographs, {part}{release}.zip of cocodataset.org"
        parts.append(DataPart(f"{part}{release}/", photographs, f"{size} GB"))
    return tuple(parts)


def read_layout(root: Path, layout: Layout, crowd: str) -> LabelTable:
    """`read_instances` of all parts; they take seconds to parse, so their labels are kept (`clbench.data.labels`)."""
    parts = [part for _, part in layout.parts]
    files = [file for file, _ in layout.parts]
    return kept(root, f"coco {parts} crowd={crowd}", files, lambda: read_instances(layout.parts, crowd=crowd))


def read_instances(files: Sequence[tuple[Path, str]], *, crowd: str = "include") -> LabelTable:
    """One or more instances jsons, pooled.

    files: (instances json, name of the image folder). crowd: one of `CROWD`; PRS's dataset maker includes.

    Ids are COCO's image ids, ascending, so that the order of files and the release make no difference. Paths are
    folder/file_name. Classes are all categories of the files, also those without an object, in the files' order; files
    may list different ones. An image without annotations keeps its row of zeros.

    Raises:
        DataError: a file that is missing, not UTF-8, not JSON or cut off, or whose structure is not that of instances:
            wrong types, ids, names or files given twice, an annotation of an unknown image or category, or a file name
            that leaves its folder. The sentence names the file and the place in it.
    """
    tables = [_read(path, folder, crowd) for path, folder in files]
    _check_shared_ids(files, tables)
    classes = tuple(dict.fromkeys(name for table in tables for name in table.classes))
    column = {name: number for number, name in enumerate(classes)}
    labels = np.zeros((sum(len(table.ids) for table in tables), len(classes)), np.uint8)
    start = 0
    for table in tables:
        labels[start : start + len(table.ids), [column[name] for name in table.classes]] = table.labels
        start += len(table.ids)
    ids = [image for table in tables for image in table.ids]
    paths = [path for table in tables for path in table.paths]
    order = np.argsort(np.array(ids, np.int64))
    return LabelTable(tuple(ids[i] for i in order), tuple(paths[i] for i in order), classes, labels[order])


def read_json(path: Path, slim: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """A JSON file's value; `slim` replaces each object as soon as it is read. Raises DataError, naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_hook=slim)
    except FileNotFoundError as error:
        raise DataError(f"Expected the file {path} but it is not there; restore it.") from error
    except OSError as error:
        raise DataError(f"Expected to read {path} but got: {error}; check the file and its permissions.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"Expected {path} to be JSON but line {error.lineno}, column {error.colno} (character {error.pos:,} of "
            f"{len(error.doc):,}) gave: {error.msg}; is the file complete? Restore it."
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, nested without end
        raise DataError(f"Expected {path} to be JSON in UTF-8 but got: {error}; restore the file.") from error


def _read(path: Path, folder: str, crowd: str) -> LabelTable:
    """One file, rows in its own order."""
    reader = _Reader(path, read_json(path, _without_mask))
    ids = reader.column("images", "id", _is_id, AN_ID)
    names = reader.column("images", "file_name", stays_inside, f"the relative path of a file inside {folder}/")
    numbers = reader.column("categories", "id", _is_id, AN_ID)
    classes = reader.column("categories", "name", _is_name, "a name")
    for section, key, values in (
        ("images", "id", ids),
        ("images", "file_name", names),
        ("categories", "id", numbers),
        ("categories", "name", classes),
    ):
        reader.check_unique(section, key, values)
    rows = reader.places("image_id", "images", ids)
    columns = reader.places("category_id", "categories", numbers)
    regions = reader.column("annotations", "iscrowd", lambda value: value in (0, 1), "0 or 1", default=0)
    labels = np.zeros((len(ids), len(classes)), np.uint8)
    counted = np.array(regions, np.int64) == 0 if crowd == "exclude" else np.ones(len(rows), np.bool_)
    labels[np.array(rows, np.int64)[counted], np.array(columns, np.int64)[counted]] = 1
    paths = tuple(PurePosixPath(folder, *PureWindowsPath(name).parts).as_posix() for name in names)
    return LabelTable(tuple(ids), paths, tuple(classes), labels)


class _Reader:
    """Columns out of an instances json's three lists of objects, every value checked."""

    def __init__(self, path: Path, top: Any) -> None:
        self._path = path
        if not isinstance(top, dict):
            raise self._error("the top level", "an object with images, annotations and categories", short(top))
        for section in ("images", "annotations", "categories"):
            if section not in top:
                raise self._error("the top level", f"an object with {section}", f"the keys {short(list(top))}")
            if not isinstance(top[section], list):
                raise self._error(section, "a list", short(top[section]))
        self._top: Mapping[str, list[Any]] = top

    def column(
        self, section: str, key: str, good: Callable[[Any], bool], wanted: str, default: Any = None
    ) -> list[Any]:
        """One key's values in a section's objects."""
        values = []
        for number, record in enumerate(self._top[section]):
            if not isinstance(record, dict):
                raise self._error(f"{section}[{number}]", "an object", short(record))
            value = record.get(key, default)
            if not good(value):
                raise self._error(f"{section}[{number}].{key}", wanted, short(value) if key in record else "nothing")
            values.append(value)
        return values

    def check_unique(self, section: str, key: str, values: Sequence[Hashable]) -> None:
        """No value may stand there twice."""
        seen: dict[Hashable, int] = {}
        for number, value in enumerate(values):
            first = seen.setdefault(value, number)
            if first != number:
                raise self._error(
                    f"{section}[{number}].{key}", f"another value than {section}[{first}]'s", short(value)
                )

    def places(self, key: str, section: str, ids: Sequence[int]) -> list[int]:
        """The annotations' references to another section's ids, as positions there."""
        place = {each: number for number, each in enumerate(ids)}
        references = self.column("annotations", key, _is_id, AN_ID)
        for number, reference in enumerate(references):
            if reference not in place:
                wanted = f"the id of one of the {len(ids):,} {section}"
                raise self._error(f"annotations[{number}].{key}", wanted, short(reference))
        return [place[reference] for reference in references]

    def _error(self, place: str, wanted: str, got: str) -> DataError:
        return DataError(f"Expected {place} in {self._path} to be {wanted} but got {got}; correct or restore the file.")


def _check_shared_ids(files: Sequence[tuple[Path, str]], tables: Sequence[LabelTable]) -> None:
    home: dict[int | str, Path] = {}
    for (path, _), table in zip(files, tables, strict=True):
        for image in table.ids:
            if image in home:
                raise DataError(
                    f"Expected every image id once but {image} stands in {home[image]} and in {path}; "
                    "give the parts of one release."
                )
            home[image] = path


def _without_mask(record: dict[str, Any]) -> dict[str, Any]:
    # Masks are most of the file; dropping each one as it is read keeps memory at what is used.
    record.pop("segmentation", None)
    return record


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def stays_inside(value: Any) -> bool:
    """Whether a text is the relative path of a file that does not leave its folder."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    path = PureWindowsPath(value)  # knows both kinds of slash, and drives
    return bool(path.name) and not path.anchor and ".." not in path.parts
