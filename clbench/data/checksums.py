"""SHA-256 of every file that a scenario reads below its data root, in the format of `sha256sum`.

    <data root>/.clbench/<scenario>.sha256

`sha256sum --check .clbench/<scenario>.sha256` below the data root reads it as well. Decoding an image is no check: most
flipped bytes give other pixels and no error.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clbench.data.collection import DataPart
from clbench.errors import DataError
from clbench.files import OWN, sha256, write_bytes

THREADS = 2
LINE = re.compile(r"([0-9a-f]{64})  (.+)", re.ASCII)


def manifest(root: Path, scenario: str) -> Path:
    """Where a scenario's checksums stand."""
    return root / OWN / f"{scenario}.sha256"


def files_of(root: Path, parts: Iterable[DataPart], paths: Iterable[str]) -> list[str]:
    """Every file below the root that a scenario reads: its images (`paths`), and all in `parts` that is not images."""
    images = set(paths)
    folders = {f"{Path(path).parent.as_posix()}/" for path in images}
    found = set(images)
    for part in parts:
        place = root / part.path
        if not part.path.endswith("/"):
            found |= {part.path} if place.is_file() else set()
        elif not any(folder.startswith(part.path) for folder in folders):
            found |= {file.relative_to(root).as_posix() for file in place.rglob("*") if file.is_file()}
    return sorted(found)


def write(
    root: Path, scenario: str, files: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """Write the checksums of `files`, relative to the root, and give them: path -> SHA-256.

    progress: called with the number of files that are done, and of all.

    Raises:
        DataError: a file that cannot be read, or a data root that cannot be written.
    """
    sums = {}
    for path, got in zip(files, _sums(root, files, progress), strict=True):
        if isinstance(got, OSError):
            raise DataError(f"Expected to read {root / path} but got: {got.strerror}; restore it.") from got
        sums[path] = got
    file = manifest(root, scenario)
    try:
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, "".join(f"{got}  {path}\n" for path, got in sums.items()).encode())
    except OSError as error:
        raise DataError(f"Expected to write {file} but got: {error.strerror}; make the data root writable.") from error
    return sums


def damaged(
    root: Path, scenario: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """Path -> what is wrong: every file of the checksums that is not as it was.

    progress: called with the number of files that are done, and of all.

    Raises:
        DataError: there are no checksums, or they cannot be read.
    """
    known = _read(manifest(root, scenario), scenario)
    wrong = {}
    for (path, expected), got in zip(known.items(), _sums(root, list(known), progress), strict=True):
        if isinstance(got, FileNotFoundError):
            wrong[path] = "missing"
        elif isinstance(got, OSError):
            wrong[path] = f"cannot be read: {got.strerror}"
        elif got != expected:
            wrong[path] = "changed"
    return wrong


def _sums(root: Path, files: Sequence[str], progress: Callable[[int, int], None]) -> list[str | OSError]:
    def one(path: str) -> str | OSError:
        try:
            return sha256(root / path)
        except OSError as error:
            return error

    results: list[str | OSError] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for number, result in enumerate(pool.map(one, files), start=1):
            results.append(result)
            progress(number, len(files))
    return results


def _read(file: Path, scenario: str) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(
            f"Expected checksums in {file} but they are not there; write them with `clbench data prepare {scenario}`."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"Expected checksums in {file} but got: {error}; prepare {scenario} again.") from error
    sums = {}
    for place, line in enumerate(lines, start=1):
        found = LINE.fullmatch(line)
        if not found:
            raise DataError(
                f"Expected a SHA-256 and a path in line {place} of {file} but got {line[:80]!r}; prepare {scenario} "
                "again from data that are whole."
            )
        sums[found[2]] = found[1]
    return sums
