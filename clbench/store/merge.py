"""Whole stores of runs: is a run as it was written, and how stores become one. Needs no torch."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from clbench.errors import StoreError, UsageError
from clbench.files import sha256
from clbench.store.folder import SUMS, Run, find_runs, run_folder

NEEDED = {"config.json", "env.json", "status.json"}
"""Files without which a folder is no run."""
PREFIX = 4
"""Digits of a configuration's hash that name a run."""


@dataclass
class Merged:
    """What a merge did, runs by name (`scenario/strategy/hash/seed0`).

    copied; same: there already, equal; refused: name -> why; damaged: folder -> what is wrong with it.
    """

    copied: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every run of every source is in the merged store."""
        return not self.refused and not self.damaged


def run_name(run: Run) -> str:
    """`scenario/strategy/hash/seed0`."""
    return "/".join(run.folder.parts[-4:])


def damage(run: Run) -> str | None:
    """What is wrong with a run folder; None where every file that it lists is as it was written."""
    try:
        names = listed_files(run)
        for name, expected in names.items():
            file = run.folder / name
            if file.is_symlink() or not file.is_file():
                return f"{name} is missing"
            if sha256(file) != expected:
                return f"{name} is not as the run wrote it"
    except (OSError, ValueError) as error:
        return str(error)
    missing = sorted(NEEDED - set(names))
    return f"{SUMS} does not list {', '.join(missing)}" if missing else None


def listed_files(run: Run) -> dict[str, str]:
    """File -> checksum, from SHA256SUMS.

    Raises:
        ValueError: no such list, a line that is none, or a file outside of the folder.
    """
    sums = run.folder / SUMS
    if not sums.is_file():
        raise ValueError(f"no {SUMS}: the run did not end, or is still running")
    found = {}
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, gap, name = line.partition("  ")
        path = PurePosixPath(name)
        if not gap or len(digest) != 64 or path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ValueError(f"{SUMS} has a bad line: {line[:80]!r}")
        found[name] = digest
    return found


def merge(sources: Sequence[Path], out: Path) -> Merged:
    """Copy every whole run of the sources into one store; what is there already is never overwritten.

    A run appears in the store in one step, when all its files are there.

    Raises:
        StoreError: a source that does not exist, or a store that cannot be written.
    """
    merged = Merged()
    runs = [run for source in sources for run in find_runs(source)]
    for run in runs:
        wrong, name = damage(run), run_name(run)
        target = run_folder(out, run.scenario, run.strategy, run.config_hash, run.seed)
        if wrong:
            merged.damaged[str(run.folder)] = wrong
        elif not target.exists():
            _copy(run, target)
            merged.copied.append(name)
        elif target.samefile(run.folder):
            merged.same.append(name)
        else:
            reason = _clash(run, Run(target))
            if reason:
                merged.refused[name] = reason
            else:
                merged.same.append(name)
    return merged


def find_run(out: Path, name: str) -> Run | None:
    """The run that a folder's path, or the start of a config hash with or without `/seed0`, names; None if none does.

    Raises:
        UsageError: several runs have the name.
    """
    folder = Path(name)
    if (folder / "status.json").is_file():
        return Run(folder.resolve())
    prefix, _, seed = name.partition("/")
    if len(prefix) < PREFIX or not out.is_dir():
        return None
    seeds = [run for run in find_runs(out) if run.config_hash.startswith(prefix)]
    found = [run for run in seeds if seed in ("", str(run.seed), f"seed{run.seed}")]
    if len(found) > 1:
        listing = ", ".join(f"{run.config_hash}/seed{run.seed}" for run in found)
        raise UsageError(f"Expected one run named {name!r} but {len(found)} are: {listing}; name one of them.")
    return found[0] if found else None


def _clash(run: Run, there: Run) -> str | None:
    """Why a run cannot take the place of the one that is there; None where both are equal."""
    wrong = damage(there)
    if wrong:
        return f"the one in the store is damaged: {wrong}"
    return None if listed_files(run) == listed_files(there) else "the one in the store has other content"


def _copy(run: Run, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        for name in [*listed_files(run), SUMS]:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.folder / name, temporary / name, follow_symlinks=False)
        os.rename(temporary, target)
    except OSError as error:
        raise StoreError(f"Expected to copy {run.folder} to {target} but got: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
