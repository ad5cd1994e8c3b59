"""How whole stores of runs become one. Needs no torch."""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from clbench.errors import StoreError
from clbench.store.archive import opened
from clbench.store.folder import DONE, SUMS, Run, find_runs, run_folder, run_name
from clbench.store.lock import Busy, held
from clbench.store.verify import damage, listed_files


@dataclass
class Merged:
    """What a merge did, runs by name (`scenario/strategy/hash/seed0`).

    copied; same: there already, equal; replaced: done, in the place of one that was not; outdated: not done, while the
    one in the store is; refused: name -> why; damaged: folder -> what is wrong with it.
    """

    copied: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every run of every source is in the merged store, or its finished version is."""
        return not self.refused and not self.damaged


def merge(sources: Sequence[Path], out: Path) -> Merged:
    """Copy every whole run of folders and archives into one store; what is done there is never overwritten.

    A run that is done takes the place of one that is not. It appears in the store in one step, with all its files.

    Raises:
        StoreError: a source that does not exist, or a store that cannot be written.
    """
    merged = Merged()
    with ExitStack() as stack:
        folders = [(source, stack.enter_context(opened(source))) for source in sources]
        for source, run in [(source, run) for source, folder in folders for run in find_runs(folder)]:
            if wrong := damage(run):
                merged.damaged[str(source / run_name(run))] = wrong
            else:
                _take(run, run_folder(out, run.scenario, run.strategy, run.config_hash, run.seed), merged)
    return merged


def _take(run: Run, target: Path, merged: Merged) -> None:
    """Bring a whole run to its place in the store, if it may go there; notes what was done."""
    name, there = run_name(run), Run(target)
    if not target.exists():
        _copy(run, target)
        merged.copied.append(name)
    elif target.samefile(run.folder):
        merged.same.append(name)
    elif run.state == DONE and _unfinished(there):
        try:
            with held(target):
                _copy(run, target)
            merged.replaced.append(name)
        except Busy as error:
            merged.refused[name] = str(error)
    elif wrong := damage(there):
        merged.refused[name] = f"the one in the store is damaged: {wrong}"
    elif listed_files(run) == listed_files(there):
        merged.same.append(name)
    elif run.state != DONE and there.state == DONE:
        merged.outdated.append(name)
    else:
        merged.refused[name] = "the one in the store has other content"


def _unfinished(run: Run) -> bool:
    """Whether a run in the store is known not to be done; of a damaged one nobody knows."""
    try:
        return run.state != DONE
    except StoreError:
        return False


def _copy(run: Run, target: Path) -> None:
    """A copy beside its place, which is then there at once; what was there goes."""
    temporary, old = (target.with_name(f".{target.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        for name in [*listed_files(run), SUMS]:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.folder / name, temporary / name, follow_symlinks=False)
        if target.exists():
            os.rename(target, old)
        os.rename(temporary, target)
    except OSError as error:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise StoreError(f"Expected to copy {run.folder} to {target} but got: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
