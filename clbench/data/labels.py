"""Labels parsed once: a table read from large text files, kept as arrays in a file named by the hash of its sources.

    <data root>/.clbench/labels-<hash>.npz

A file that is damaged is read from its sources again, and a data root that cannot be written does without.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

from clbench.errors import DataError
from clbench.files import OWN, canonical, sha256, write_bytes
from clbench.scenario import LabelTable

SCHEMA = 1


def kept(root: Path, what: str, sources: Iterable[Path], read: Callable[[], LabelTable]) -> LabelTable:
    """The table that `read` gives, from the kept arrays where there are any of the same sources.

    what: all that the table depends on besides its sources' names and bytes: the reader and its options.

    Raises:
        DataError: as `read` does.
    """
    try:
        key = [SCHEMA, what, [[str(path.relative_to(root)), sha256(path)] for path in sources]]
    except OSError:
        return read()  # which says what is wrong
    file = root / OWN / f"labels-{hashlib.sha256(canonical(key)).hexdigest()[:32]}.npz"
    try:
        return _load(file)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, DataError):
        table = read()
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, _dump(table))
    return table


def _dump(table: LabelTable) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        ids=np.array(table.ids),
        paths=np.frombuffer("\n".join(table.paths).encode(), np.uint8),
        classes=np.array(table.classes),
        labels=np.packbits(table.labels, axis=1),
    )
    return buffer.getvalue()


def _load(file: Path) -> LabelTable:
    """Raises one of the errors that `kept` catches where the file is missing or damaged."""
    with np.load(BytesIO(file.read_bytes()), allow_pickle=False) as arrays:  # zip members carry a CRC-32
        ids, classes = arrays["ids"].tolist(), arrays["classes"].tolist()
        paths = arrays["paths"].tobytes().decode().split("\n")
        labels = np.unpackbits(arrays["labels"], axis=1, count=len(classes))
    if not len(ids) == len(paths) == len(labels):
        raise DataError("parts of different lengths")
    return LabelTable(tuple(ids), tuple(paths), tuple(classes), labels)
