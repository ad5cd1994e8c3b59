"""The rows of the runs that can be used; a run that cannot is said, marked, and costs no more than its own place."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clbench.errors import StoreError
from clbench.report.again import Again, NotAgain, run_again
from clbench.report.attention import FILE, looked
from clbench.report.recompute import Unknowable, check_metrics
from clbench.report.rows import Row, collect
from clbench.store.folder import DONE, Run
from clbench.store.verify import check

Key = tuple[str, str, str]
Sizes = dict[tuple[str, str], Any]


def gather(
    runs: Iterable[Run], say: Callable[[str], None], *, recompute: bool = False, against: Path | None = None
) -> list[Row]:
    """`collect` of those that are sound. say: is told what is wrong with each of the others.

    recompute: compute every metric again from the logits; a run with other ones is not sound. against: then, compare
    those that were run a second time with what stands in that results folder.
    """
    sound: list[Run] = []
    damaged: dict[Key, list[int]] = {}
    recomputed: dict[Key, list[int]] = {}
    again: dict[Key, dict[int, Again]] = {}
    sizes: Sizes = {}
    for run in runs:
        try:
            _check(run, sizes)
            if recompute and run.state == DONE and _recomputed(run, say):
                recomputed.setdefault(_key(run), []).append(run.seed)
                if against is not None and (second := _second(run, against, say)):
                    again.setdefault(_key(run), {})[run.seed] = second
            sound.append(run)
        except StoreError as error:
            say(f"{error} It is left out.")
            damaged.setdefault(_key(run), []).append(run.seed)
    return [
        replace(
            row,
            damaged=tuple(damaged.get(key, ())),
            recomputed=frozenset(recomputed.get(key, ())),
            again=again.get(key, {}),
        )
        for row in collect(sound)
        for key in [_key(row.first)]
    ]


def _check(run: Run, sizes: Sizes) -> None:
    """Raises StoreError where a run is damaged, or its data are others than those of the same hash."""
    check(run)
    if run.state == DONE and (run.folder / FILE).exists():
        looked(run)
    manifest = run.env["manifest"]
    size = sorted(manifest["classes"]), len(manifest["tasks"]), sorted(manifest["groups"]), "drawn" in manifest
    if sizes.setdefault((run.scenario, Row((run,)).data), size) != size:
        raise run.files.unlike("env.json", "to have the classes and tasks of other runs on the same data")


def _recomputed(run: Run, say: Callable[[str], None]) -> bool:
    """Whether the logits give the metrics; False where nobody can know. Raises StoreError where they do not."""
    try:
        check_metrics(run)
        return True
    except Unknowable as error:
        say(f"{run.folder}: cannot be recomputed: {error}")
        return False


def _second(run: Run, against: Path, say: Callable[[str], None]) -> Again | None:
    """What a second execution of a run gave, if there is one."""
    try:
        return run_again(run, against)
    except NotAgain as error:
        say(f"{run.folder}: not run again: {error}")
        return None


def _key(run: Run) -> Key:
    return run.scenario, run.strategy, run.config_hash
