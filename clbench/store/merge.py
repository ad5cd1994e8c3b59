"""Whole stores of runs: is a run as it was written, and how stores become one. Needs no torch."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clbench.errors import StoreError
from clbench.store.folder import SUMS, Run, find_runs, run_folder, run_name
from clbench.store.verify import damage, listed_files


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
