"""A table of image paths and labels, CSV or Parquet, and the TOML file that describes it."""

import csv
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clbench.arrays import BoolArray, LabelArray
from clbench.data.coco import stays_inside
from clbench.data.collection import LabelTable
from clbench.errors import DataError, UsageError, unknown

if TYPE_CHECKING:  # pandas is imported when it is needed
    import pandas as pd

PARTS = ("train", "test")

Labelled = tuple[list[str], LabelArray]
"""Classes (C,) and labels (N, C)."""


@dataclass(frozen=True)
class Description:
    """What the TOML file says; one of `classes` and `labels`, and one of `tasks` and `step`."""

    source: Path
    name: str
    file: str
    image: str = "path"
    split: str = "split"
    classes: tuple[str, ...] = ()
    labels: str = ""
    separator: str = "|"
    tasks: tuple[tuple[str, ...], ...] = ()
    base: int = 0
    step: int = 0


def read_description(file: Path) -> Description:
    """The TOML file, checked.

    Raises:
        DataError: a file that is not there or is not TOML.
        UsageError: a key that is unknown, missing, of another type, or contradicts another.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"Expected a TOML file that describes the table at {file} but got no such file; write it (`clbench show "
            "table` has an example), or name another with --set table=FILE."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"Expected a TOML file that describes the table at {file} but got: {error}.") from error
    known = {f.name: f for f in fields(Description) if f.name != "source"}
    for key in values:
        if key not in known:
            raise UsageError(unknown(f"key in {file}:", key, known))
    for key, field in known.items():
        if field.default is MISSING and key not in values:
            raise UsageError(f"Expected {file} to give {key} but it does not; `clbench show table` has an example.")
    checked = {key: _checked(file, key, value) for key, value in values.items()}
    description = Description(file, **checked)
    if bool(description.classes) == bool(description.labels):
        raise UsageError(f"Expected either classes (a column each) or labels (one list column) in {file}; give one.")
    if bool(description.tasks) == bool(description.step):
        raise UsageError(f"Expected either tasks (classes of each) or base and step in {file}; give one.")
    if not description.name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"Expected name in {file} to be of letters, digits and - but got {description.name!r}.")
    return description


def read_table(root: Path, description: Description) -> tuple[LabelTable, BoolArray]:
    """The table, in the order of its rows, and which of them (N,) are for training.

    Ids are the image paths. Classes are those of the description, or all that the list column has, sorted.

    Raises:
        DataError: a file that cannot be read, a column or class that is not there, a path that is given twice or
            leaves the data root, a label other than 0 and 1, or a part other than train and test; names the row.
    """
    file = root / description.file
    frame = _read_frame(file)
    for column in (description.image, description.split, *description.classes, *filter(None, [description.labels])):
        if column not in frame.columns:
            raise DataError(unknown("column", column, map(str, frame.columns), f"Correct {description.source}."))
    paths = _texts(file, frame, description.image)
    for row, path in enumerate(paths):
        if not stays_inside(path):
            raise _bad(file, row, description.image, "a relative path below the data root", path)
    if len(set(paths)) != len(paths):
        row = next(row for row, path in enumerate(paths) if path in set(paths[:row]))
        raise _bad(file, row, description.image, "every image once", f"{paths[row]} again")
    parts = _texts(file, frame, description.split)
    for row, part in enumerate(parts):
        if part not in PARTS:
            raise _bad(file, row, description.split, " or ".join(PARTS), part)
    read = _from_list if description.labels else _from_columns
    classes, labels = read(file, frame, description)
    wanted = [name for names in description.tasks for name in names]
    if len(set(wanted)) != len(wanted):
        raise DataError(f"Expected every class in one task only in {description.source}; correct it.")
    for name in wanted:
        if name not in classes:
            raise DataError(unknown("class", name, classes, f"No row of {file} has it; correct {description.source}."))
    table = LabelTable(tuple(paths), tuple(path.replace("\\", "/") for path in paths), tuple(classes), labels)
    return table, np.array([part == "train" for part in parts], np.bool_)


def _read_frame(file: Path) -> "pd.DataFrame":
    """All columns as text, or as they are in a Parquet file."""
    import pandas as pd

    try:
        if file.suffix == ".parquet":
            return _named_once(file, _read_parquet(file))
        with open(file, encoding="utf-8-sig", newline="") as text:
            header, *rows = [row for row in csv.reader(text, strict=True) if row] or [[]]
    except ImportError as error:
        raise DataError(f"Expected pyarrow for {file} but it is not there; pip install 'clbench[parquet]'.") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"Expected {file} to be a CSV or Parquet table but got: {reason}; restore it.") from error
    # pandas' own reader fills a short row, and takes a long one's first cell for its name: labels would move.
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(f"Expected {len(header)} cells in row {number} of {file} but got {len(row)}; correct it.")
    return _named_once(file, pd.DataFrame(rows, columns=header, dtype=str))


def _read_parquet(file: Path) -> "pd.DataFrame":
    """Raises OSError and ImportError, and ValueError for whatever else its reader meets in a damaged file."""
    import pandas as pd

    try:
        return pd.read_parquet(file)
    except (OSError, ImportError):
        raise
    except Exception as error:  # KeyError, NotImplementedError, UnicodeDecodeError … of pyarrow and pandas
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _named_once(file: Path, frame: "pd.DataFrame") -> "pd.DataFrame":
    header = list(frame.columns)
    if len(set(header)) != len(header):
        raise DataError(f"Expected every column of {file} to have a name of its own but got {header}; correct it.")
    return frame


def _from_columns(file: Path, frame: "pd.DataFrame", description: Description) -> tuple[list[str], LabelArray]:
    labels = np.zeros((len(frame), len(description.classes)), np.uint8)
    for number, name in enumerate(description.classes):
        values = frame[name].astype(str).str.strip()
        numbers = values.map({"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1})
        bad = np.flatnonzero(numbers.isna())
        if len(bad):
            raise _bad(file, int(bad[0]), name, "0 or 1", values.iloc[bad[0]])
        labels[:, number] = numbers.to_numpy(np.uint8)
    return list(description.classes), labels


def _from_list(file: Path, frame: "pd.DataFrame", description: Description) -> Labelled:
    column = description.labels
    if frame[column].dtype.kind in "biufcmM":  # also where every row of it is empty
        raise DataError(
            f"Expected text, or lists of text, in column {column!r} of {file} but it is of {frame[column].dtype}; "
            f"correct it, or give classes in {description.source} where there is a column of 0 and 1 for each."
        )
    rows = []
    for row, value in enumerate(frame[column]):
        names = _names(value, description.separator)
        if names is None:
            raise _bad(file, row, column, "a text or a list of texts", value)
        rows.append(names)
    classes = sorted({name for names in rows for name in names})
    place = {name: number for number, name in enumerate(classes)}
    labels = np.zeros((len(rows), len(classes)), np.uint8)
    for row, names in enumerate(rows):
        labels[row, [place[name] for name in names]] = 1
    return classes, labels


def _names(value: Any, separator: str) -> list[str] | None:
    """The labels in a cell, none in one that is empty; None where it is neither a text nor a list of texts."""
    if _is_missing(value):
        return []
    parts = value.split(separator) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple | np.ndarray) or not all(isinstance(part, str) for part in parts):
        return None
    return [part.strip() for part in parts if part.strip()]


def _is_missing(value: Any) -> bool:
    """What pandas has in place of a text that is not there."""
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _texts(file: Path, frame: "pd.DataFrame", column: str) -> list[str]:
    values = list(frame[column])
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise _bad(file, row, column, "a text", value)
    return [value.strip() for value in values]


def _bad(file: Path, row: int, column: str, wanted: str, got: Any) -> DataError:
    return DataError(f"Expected {wanted} in row {row + 1}, column {column!r} of {file} but got {got!r}; correct it.")


def _checked(file: Path, key: str, value: Any) -> Any:
    """A value of the TOML file, of the type that its key wants; lists become tuples."""
    if key in ("base", "step"):
        if type(value) is int and value >= 0:
            return value
        raise UsageError(f"Expected {key} in {file} to be a whole number from 0 but got {value!r}.")
    if key == "classes" and _is_names(value):
        return tuple(value)
    if key == "tasks" and isinstance(value, list) and value and all(_is_names(names) for names in value):
        return tuple(tuple(names) for names in value)
    if key in ("classes", "tasks") or not isinstance(value, str) or not value:
        wanted = {"classes": "a list of names", "tasks": "a list of lists of names"}.get(key, "a text")
        raise UsageError(f"Expected {key} in {file} to be {wanted} but got {value!r}.")
    return value


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)
