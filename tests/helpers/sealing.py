"""A run folder that somebody has changed, with its checksums made again as if nothing had happened."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clbench.files import canonical, sha256
from clbench.store.checkpoint import MANIFEST
from clbench.store.folder import CHECKPOINTS, SUMS


def reseal(folder: Path) -> None:
    """Write the checksums of what is there now."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != SUMS}
    kept = {name: file for name, file in files.items() if not name.startswith(f"{CHECKPOINTS}/")}
    (folder / SUMS).write_text("".join(f"{sha256(file)}  {name}\n" for name, file in kept.items()))


def reseal_checkpoint(folder: Path) -> None:
    """Write the checksums of what a checkpoint holds now."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
    del manifest["sha256"]
    manifest["sha256"] = hashlib.sha256(canonical(manifest)).hexdigest()
    (folder / MANIFEST).write_bytes(canonical(manifest))


def edit(folder: Path, name: str, change: Callable[[Any], object], *, sealed: bool = True) -> None:
    """Change a JSON file in place. sealed: with new checksums."""
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))
    if sealed:
        reseal(folder)
