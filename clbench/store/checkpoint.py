"""Checkpoints: a run's state in files that are whole or are not there. No pickle.

    <run>/checkpoint/<global step>/
        tensors.safetensors   every tensor and array of the state, named by its path in it
        state.json            everything else
        MANIFEST.json         schema, versions and a SHA-256 of each of the others; written last

A checkpoint is written below a temporary name, each file flushed to the disk, and then renamed; the last `KEPT` are
kept. Reading one checks every sum. A damaged one is left aside, said aloud, and the one before it is used.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from clbench.errors import StoreError
from clbench.files import canonical, sync_folder, write_synced

SCHEMA = 2
"""Version of a checkpoint's files."""
KEPT = 2
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "MANIFEST.json"
TENSOR, ARRAY, TUPLE, ITEMS = "$tensor", "$array", "$tuple", "$items"
"""What stands in state.json for a value that JSON has not: a dict with this one key."""


class Damaged(StoreError):
    """A checkpoint that is not as it was written."""


@dataclass(frozen=True)
class Checkpoint:
    """One that was found whole. step: steps of all tasks together."""

    step: int
    state: dict[str, Any]


def write(folder: Path, step: int, state: Mapping[str, Any], check: Callable[[], None] = lambda: None) -> None:
    """Add a checkpoint to the folder of checkpoints; older ones than the last `KEPT` go.

    state: nested dicts, lists and tuples of tensors, NumPy arrays and JSON values. check: is called when all of it is
    written, before it takes its place; may raise.

    Raises:
        OSError: it cannot be written; those that were there still are.
        TypeError: a value of another kind.
    """
    final, temporary = folder / str(step), folder / f"{step}.tmp"
    for stale in (temporary, final):
        if stale.exists():
            shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_take_apart(state, "", tensors)).encode()
    files = {TENSORS: save(tensors), STATE: plain}
    for name, data in files.items():
        write_synced(temporary / name, data)
    write_synced(temporary / MANIFEST, _manifest({name: _sum(data) for name, data in files.items()}, versions()))
    sync_folder(temporary)
    check()
    temporary.rename(final)
    sync_folder(folder)
    for _, old in _found(folder)[KEPT:]:
        shutil.rmtree(old)


def latest(
    folder: Path, device: torch.device, fits: Callable[[Mapping[str, Any]], None], say: Callable[[str], None]
) -> Checkpoint | None:
    """The last checkpoint that is whole; None where there is none.

    device: where tensors that were not on the CPU go. fits: raises `Damaged` where the rest of the run folder is not
    as the checkpoint needs it. say: is told which ones are damaged.
    """
    for step, found in _found(folder):
        try:
            state = read(found, device, say)
            fits(state)
            return Checkpoint(step, state)
        except Damaged as error:
            say(f"{error} Going back to the checkpoint before it, or to the start.")
    return None


def read(folder: Path, device: torch.device, say: Callable[[str], None]) -> dict[str, Any]:
    """The state in a checkpoint. say: is told where other versions wrote it.

    Raises:
        Damaged: a file that is missing, cut, or changed by a single bit.
    """
    try:
        manifest = _checked((folder / MANIFEST).read_bytes())
        files = {name: (folder / name).read_bytes() for name in (TENSORS, STATE)}
        wrong = [name for name, data in files.items() if manifest["files"][name] != _sum(data)]
        if wrong:
            raise ValueError(f"the checksum of {wrong[0]} differs")
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"its schema is {manifest['schema']}, not {SCHEMA}")
        state = _put_together(json.loads(files[STATE]), load(files[TENSORS]), device)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise Damaged(f"Expected a whole checkpoint in {folder} but found: {error}.") from error
    if manifest["versions"] != versions():
        say(f"note: {folder} was written by {manifest['versions']}; bits may differ")
    assert isinstance(state, dict)
    return state


def versions() -> dict[str, str]:
    """What may change the bits of a run that goes on."""
    return {name: version(name) for name in ("clbench", "torch", "numpy")}


def _found(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints by their names, the last first."""
    if not folder.is_dir():
        return []
    found = [(int(path.name), path) for path in folder.iterdir() if path.name.isdecimal() and path.name.isascii()]
    return sorted(found, reverse=True)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest(files: Mapping[str, str], written_by: Mapping[str, str]) -> bytes:
    body = {"schema": SCHEMA, "versions": dict(written_by), "files": dict(files)}
    return canonical({**body, "sha256": _sum(canonical(body))})


def _checked(data: bytes) -> dict[str, Any]:
    """A manifest that has its own sum, byte for byte as it was written. Raises ValueError or KeyError."""
    manifest: dict[str, Any] = json.loads(data)
    if not isinstance(manifest, dict) or canonical(manifest) != data:
        raise ValueError(f"{MANIFEST} was changed")
    if manifest.pop("sha256", None) != _sum(canonical(manifest)):
        raise ValueError(f"the checksum of {MANIFEST} differs")
    return manifest


def _take_apart(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for a state; tensors and arrays go into `tensors` under their paths."""
    while path in tensors:  # a key with a slash in it
        path += "'"
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {TENSOR: path, "device": value.device.type}
    if isinstance(value, np.ndarray):
        tensors[path] = torch.from_numpy(np.array(value, order="C"))
        return {ARRAY: path}
    if isinstance(value, tuple):
        return {TUPLE: _take_apart(list(value), path, tensors)}
    if isinstance(value, list):
        return [_take_apart(item, f"{path}/{number}", tensors) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        items = {key: _take_apart(item, f"{path}/{key}", tensors) for key, item in value.items()}
        plain = all(isinstance(key, str) and not key.startswith("$") for key in items)
        return items if plain else {ITEMS: [[key, item] for key, item in items.items()]}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a state holds tensors, arrays and JSON values only, but {path} is a {type(value).__name__}")


def _put_together(value: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    """The inverse of `_take_apart`."""
    if isinstance(value, list):
        return [_put_together(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        tensor = tensors[value[TENSOR]]
        return tensor if value["device"] == "cpu" else tensor.to(device)
    if ARRAY in value:
        return tensors[value[ARRAY]].numpy()
    if TUPLE in value:
        return tuple(_put_together(value[TUPLE], tensors, device))
    if ITEMS in value:
        return {key: _put_together(item, tensors, device) for key, item in value[ITEMS]}
    return {key: _put_together(item, tensors, device) for key, item in value.items()}
