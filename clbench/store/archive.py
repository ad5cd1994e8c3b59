"""Finished runs as one file, and such a file of a stranger as a results folder. Needs no torch.

An archive is a zip file: its list of files is read before any of them is unpacked, so that nobody's archive can fill a
disk or memory. Each member is a file that the run's SHA256SUMS lists, or that list itself, under the run's path in its
results folder. Nothing else of a folder goes in: no checkpoint, no cache.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from clbench.errors import StoreError
from clbench.files import sync_folder
from clbench.store.folder import DEPTH, DONE, HASH, SEED, SUMS, Run, run_name
from clbench.store.verify import damage, listed_files

SUFFIX = ".zip"
MAX_BYTES, MAX_FILES = 50 * 10**9, 200_000
"""An archive that unpacks to more is refused; a thousand runs of COCO's size come to less."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member, the first that a zip file can have: the same runs give the same bytes."""
LEVEL = 6
"""Of zlib, whose versions may differ in the bytes that they make of the same files."""


@dataclass
class Packed:
    """What an archive holds of a store, runs by name (`scenario/strategy/hash/seed0`).

    packed: in the archive. unfinished: name -> state, left out. damaged: name -> what is wrong with it, left out.
    sizes: name -> bytes of the folder, of those that are left out, with all that is in it. size: bytes of the archive.
    """

    packed: list[str] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0


def pack(runs: Iterable[Run], archive: Path) -> Packed:
    """Write every run that is done and whole into a new archive, and say what was left out. The same runs, the same
    bytes, with the same zlib.

    Raises:
        StoreError: none is left, or the archive is there already or cannot be written; nothing has been written then.
    """
    packed, whole = Packed(), []
    for run in runs:
        if _left_out(run, packed):
            packed.sizes[run_name(run)] = _size(run.folder)
        else:
            whole.append(run)
    packed.packed = [run_name(run) for run in whole]
    if not whole:
        raise StoreError(
            "Expected finished runs to pack but found none; `clbench list runs` tells what there is, and "
            "`clbench resume` finishes what was interrupted."
        )
    packed.size = _write(whole, archive)
    return packed


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A results folder, whether it stands as a folder or in an archive; what is unpacked goes again at the end.

    Raises:
        StoreError: an archive that cannot be trusted or is no whole one; see `unpack`.
    """
    if not os.path.isfile(source):  # of a path that is too long, too
        yield source  # who reads it says what is wrong with it
        return
    with tempfile.TemporaryDirectory(prefix="clbench-") as folder:
        unpack(source, Path(folder))
        yield Path(folder)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of `pack` into an empty folder. Of a stranger's nothing lands elsewhere, and nothing is run.

    Raises:
        StoreError: it is no whole zip file; or a member is a link, is encrypted, stands elsewhere than a run's files do
            or twice, or has a name that leads outside; or there are more of them, or they are larger, than `MAX_FILES`
            and `MAX_BYTES` allow or than the disk has room for.
    """
    try:
        with ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            _check(members, shutil.disk_usage(folder).free)
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as packed, open(target, "xb") as plain:  # it ends at its size in the list
                    shutil.copyfileobj(packed, plain)
    except Exception as error:  # damaged bytes make zipfile and zlib raise whatever they like
        raise StoreError(
            f"Expected {archive} to be an archive of `clbench pack` but got: {error}; have it made and sent again."
        ) from error


def _left_out(run: Run, packed: Packed) -> bool:
    """Whether a run cannot be packed; notes why."""
    name = run_name(run)
    try:
        if run.state != DONE:
            packed.unfinished[name] = run.state
        elif wrong := damage(run):
            packed.damaged[name] = wrong
    except StoreError as error:
        packed.damaged[name] = str(error)
    return name in packed.unfinished or name in packed.damaged


def _write(runs: Sequence[Run], archive: Path) -> int:
    """Write beside its place and move it there; bytes of the archive."""
    if os.path.lexists(archive):
        raise StoreError(f"Expected a new file but {archive} is there already; remove it, or name another with --out.")
    temporary = archive.with_name(f".{archive.name}.{os.getpid()}.tmp")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as plain:
            with ZipFile(plain, "w") as file:
                for run in runs:
                    _add(file, run)
            plain.flush()
            os.fsync(plain.fileno())
        os.rename(temporary, archive)
        sync_folder(archive.parent)
        return archive.stat().st_size
    except OSError as error:
        raise StoreError(
            f"Expected to write {archive} but got: {error.strerror}; choose another file with --out."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _add(file: ZipFile, run: Run) -> None:
    """Every file of a run in the order of its names. Raises StoreError where one has changed since it was checked."""
    for name in sorted(listed_files(run)):
        _member(file, f"{run_name(run)}/{name}", run.files.content(name))
    _member(file, f"{run_name(run)}/{SUMS}", (run.folder / SUMS).read_bytes())


def _member(file: ZipFile, name: str, content: bytes) -> None:
    info = ZipInfo(name, EPOCH)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # as on Unix, whoever packs and wherever
    file.writestr(info, content, ZIP_DEFLATED, LEVEL)


def _check(members: Sequence[ZipInfo], room: int) -> None:
    """Raises ValueError for what no archive of `pack` has. room: bytes that are free on the disk."""
    if len(members) > MAX_FILES:
        raise ValueError(f"it has {len(members):,} files, more than {MAX_FILES:,}")
    size = sum(member.file_size for member in members)
    if size > min(MAX_BYTES, room):
        raise ValueError(f"it unpacks to {size:,} bytes, more than {min(MAX_BYTES, room):,}")
    names = set()
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):  # 0: packed where files have no mode
            raise ValueError(f"{member.filename!r} is a link or no plain file")
        if not _of_a_run(member.filename):
            raise ValueError(f"{member.filename!r} is no file of a run")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others take memory without bounds
            raise ValueError(f"{member.filename!r} is packed otherwise")
        if member.filename in names:
            raise ValueError(f"{member.filename!r} stands there twice")
        names.add(member.filename)


def _of_a_run(name: str) -> bool:
    """Whether a name is SCENARIO/STRATEGY/HASH/seed0/FILE, and leads nowhere else."""
    parts = name.split("/")
    plain = PurePosixPath(name).parts == tuple(parts) and ".." not in parts and "\\" not in name
    placed = len(parts) > DEPTH and HASH.fullmatch(parts[2]) and SEED.fullmatch(parts[3])
    return bool(plain and placed and name.isprintable())


def _size(folder: Path) -> int:
    """Bytes of all plain files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
