"""Labels parsed once: a table read from large text files, kept as arrays in a file named by the hash of its sources.

    <data root>/.clbench/labels-<hash>.npz     numpy's format, then the SHA-256 (32 bytes) of all before it

Where one bit of it is other than it was written, the sources are read again; a data root that cannot be written does
without. (A zip's own checksums do not do: they leave out its headers, and its readers fail in many ways.)
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

from clbench.data.collection import LabelTable
from clbench.files import OWN, digest, sha256, write_bytes

SCHEMA = 1
DIGEST = hashlib.sha256().digest_size


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
    file = root / OWN / f"labels-{digest(key)[:32]}.npz"
    try:
        return _load(file)
    except (OSError, ValueError):
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
    data = buffer.getvalue()
    return data + hashlib.sha256(data).digest()


def _load(file: Path) -> LabelTable:
    """Raises OSError where there is no file, and ValueError where it is damaged."""
    content = file.read_bytes()
    data, digest = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError("other bytes than were written")
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        ids, classes = arrays["ids"].tolist(), arrays["classes"].tolist()
        paths = arrays["paths"].tobytes().decode().split("\n")
        labels = np.unpackbits(arrays["labels"], axis=1, count=len(classes))
    if not len(ids) == len(paths) == len(labels):  # no image at all: "" splits into one path
        raise ValueError("parts of different lengths")
    return LabelTable(tuple(ids), tuple(paths), tuple(classes), labels)
