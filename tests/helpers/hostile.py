"""Pickles and archives that would make a folder or a file if they were read carelessly, each with such a reader."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import torch

Hostile = tuple[bytes, Callable[[bytes], object]]
"""What stands in a file, and a careless reader of it."""


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def hostile(proof: Path) -> list[Hostile]:
    """Forty files, none like another, that would make `proof`; of the first twenty each kind is met every day."""
    bomb = Calls(os.mkdir, str(proof))
    first = [*_pickles(bomb), *_torch({"model": bomb}), *_numpy(bomb), *_archives(proof)]
    second = [*_by_hand(str(proof)), *_hidden(bomb, proof), *_compressed(bomb), *_more_archives(proof)]
    return first + second


def _pickles(bomb: Calls) -> Iterator[Hostile]:
    for value in (bomb, {"state": [bomb]}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield pickle.dumps(value, protocol), pickle.loads


def _torch(value: object, *, zipped: tuple[bool, ...] = (True, False)) -> Iterator[Hostile]:
    for new in zipped:
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=new)
        yield buffer.getvalue(), lambda data: torch.load(io.BytesIO(data), weights_only=False)


def _load_array(data: bytes) -> object:
    return np.load(io.BytesIO(data), allow_pickle=True)


def _load_arrays(data: bytes) -> object:
    return dict(np.load(io.BytesIO(data), allow_pickle=True))


def _numpy(bomb: Calls) -> Iterator[Hostile]:
    array = np.array([bomb], object)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    yield buffer.getvalue(), _load_array
    buffer = io.BytesIO()
    np.savez(buffer, a=array)
    yield buffer.getvalue(), _load_arrays


def _tar(mode: str, *members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO())
    return buffer.getvalue()


def _untar(folder: Path) -> Callable[[bytes], None]:
    def careless(data: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="fully_trusted")

    return careless


def _zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "")
    return buffer.getvalue()


def _unzip(folder: Path) -> Callable[[bytes], None]:
    def careless(data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                (folder / name).write_bytes(archive.read(name))

    return careless


def _archives(proof: Path) -> Iterator[Hostile]:
    """Unpacked in a folder beside the proof."""
    for mode in ("w", "w:gz", "w:bz2"):
        yield _tar(mode, tarfile.TarInfo(f"../{proof.name}")), _untar(proof.parent / "in")
    yield _zip(f"../{proof.name}"), _unzip(proof.parent / "in")


def _by_hand(path: str) -> Iterator[Hostile]:
    """Opcodes and functions that `pickle.dumps` does not choose by itself."""
    for text in (
        f"cos\nmkdir\n(V{path}\ntR.",  # GLOBAL, REDUCE
        f"(V{path}\nios\nmkdir\n.",  # INST
        f"(cos\nmkdir\nV{path}\no.",  # OBJ
        f"cbuiltins\nexec\n(Vimport os; os.mkdir({path!r})\ntR.",
        f"cbuiltins\neval\n(V__import__('os').mkdir({path!r})\ntR.",
    ):
        yield text.encode(), pickle.loads


def _hidden(bomb: Calls, proof: Path) -> Iterator[Hostile]:
    for value in (
        Calls(os.system, f"mkdir '{proof}'"),
        Calls(subprocess.call, ["mkdir", str(proof)]),
        {bomb: "a key"},
        SimpleNamespace(state=bomb),
    ):
        yield pickle.dumps(value), pickle.loads
    module = torch.nn.Linear(2, 2)
    module.extra = bomb  # type: ignore[assignment]
    yield from _torch(module, zipped=(True,))


def _compressed(bomb: Calls) -> Iterator[Hostile]:
    plain = pickle.dumps(bomb)
    for data in (gzip.compress(plain), bz2.compress(plain), lzma.compress(plain), zlib.compress(plain)):
        yield data, lambda data: joblib.load(io.BytesIO(data))
    array = np.array([bomb], object)
    buffer = io.BytesIO()
    joblib.dump({"a": array}, buffer)
    yield buffer.getvalue(), lambda data: joblib.load(io.BytesIO(data))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=array)
    yield buffer.getvalue(), _load_arrays
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(2, 0), allow_pickle=True)
    yield buffer.getvalue(), _load_array


def _more_archives(proof: Path) -> Iterator[Hostile]:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, ".."
    folder = proof.parent / "in"
    yield _tar("w:xz", tarfile.TarInfo(str(proof))), _untar(folder)
    yield _tar("w", link, tarfile.TarInfo(f"link/{proof.name}")), _untar(folder)
    yield _zip(str(proof)), _unzip(folder)
