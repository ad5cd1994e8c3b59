"""Was a run executed a second time, and how far from it is what came of it? Needs no torch.

The one rule: a run counts as run again where another results folder holds a run of the same scenario, strategy,
configuration hash and seed that is done, is as it was written, whose metrics its own logits give, and that is no copy
of it. Two executions never take the same time, and metrics.json holds the seconds: where that file is the same in both,
one is a copy of the other. Then the saved logits are compared, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clbench.report.verify import verify
from clbench.store.folder import Run, run_folder
from clbench.store.verify import listed_files

TRUTH = ("labels", "scored", "tested")
"""Arrays that are the data's and not the run's; a run has the first, and the others where there is need."""


class NotAgain(Exception):
    """There is no second execution that a run can be compared with; says why."""


@dataclass(frozen=True)
class Again:
    """What a second execution gave.

    bits: whether every logit of every task is the same bit for bit. logits: the largest difference of two logits.
    mAP: the difference of the mAP after the last task, a fraction; at least 0, as the other.
    """

    bits: bool
    logits: float
    mAP: float

    def __str__(self) -> str:
        if self.bits:
            return "same bits"
        return f"mAP differs by {100 * self.mAP:.2f}, logits by up to {self.logits:.2g}"


def farthest(found: Iterable[Again]) -> Again:
    """Of several executions the largest differences, which need not be of the same one."""
    each = list(found)
    return Again(all(a.bits for a in each), max(a.logits for a in each), max(a.mAP for a in each))


def run_again(run: Run, store: Path) -> Again:
    """How the second execution of a run that was found as written, in a results folder, compares. Raises NotAgain."""
    other = Run(run_folder(store, run.scenario, run.strategy, run.config_hash, run.seed))
    if not (other.folder / "config.json").is_file():
        raise NotAgain(f"it is not in {store}")
    verdict = verify(other)
    if verdict.wrong or not verdict.recomputed:
        found = "; ".join(verdict.wrong or verdict.notes) or f"it is {verdict.state}"
        raise NotAgain(f"the one in {store} cannot be used: {found}")
    ours, theirs = listed_files(run), listed_files(other)
    if ours["metrics.json"] == theirs["metrics.json"]:
        raise NotAgain(f"the one in {store} is a copy of it, for it took the same seconds")
    saved = [{name: of for name, of in files.items() if name.startswith("logits/")} for files in (ours, theirs)]
    truth = [{name: files.get(f"logits/{name}.npy") for name in TRUTH} for files in saved]
    if saved[0].keys() != saved[1].keys() or truth[0] != truth[1]:
        raise NotAgain(f"the one in {store} has other labels, though its data have the same hash")
    first, second = (each.metrics["final"]["mAP"] or 0.0 for each in (run, other))  # none: no class has a positive
    apart = max(_apart(run, other, name) for name in saved[0])
    return Again(saved[0] == saved[1], apart, abs(first - second))


def _apart(run: Run, other: Run, file: str) -> float:
    """The largest difference between two arrays of the same shape."""
    name = Path(file).stem
    first, second = (each.array(name).astype(np.float64) for each in (run, other))
    return float(np.abs(first - second).max(initial=0.0))
