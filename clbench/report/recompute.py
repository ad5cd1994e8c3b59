"""A run's metrics, computed again from its saved logits and labels: are they what it reports? Needs no torch."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from clbench.arrays import IntArray
from clbench.metrics import Scores, evaluate
from clbench.store.folder import Run

CLOSE = 1e-9
"""Metrics differ by less on another processor, which adds in another order."""
NAMED = 3
"""Metrics of a run that are named as others; the rest are counted."""


class Unknowable(Exception):
    """A run that does not hold what its metrics were computed from."""


def check_metrics(run: Run) -> None:
    """Compare metrics.json with what the arrays below `logits/` give.

    Raises:
        StoreError: an array is damaged, or a metric is another.
        Unknowable: a run of an older version, which has not recorded all that is needed.
    """
    try:
        found = evaluate(_scores(run), _groups(run))
    except (ValueError, IndexError) as error:
        raise run.files.unlike("logits", f"to give the metrics again but got: {error}") from error
    wrong = list(_different(run.metrics, found, ""))
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise run.files.unlike(
            "metrics.json", f"to say what the logits give but not so {'; '.join(wrong[:NAMED])}{more}"
        )


def _scores(run: Run) -> Scores:
    """What `clbench.running.recording.score` had. Raises ValueError, StoreError and Unknowable."""
    manifest, joint = run.env["manifest"], bool(run.metrics["joint"])
    columns = _columns(run)
    labels = run.array("labels")
    evaluations = 1 if joint else len(manifest["tasks"])
    logits = [run.array(f"task{number}") for number in range(evaluations)]
    scored = run.array("scored") if (run.folder / "logits/scored.npy").exists() else None
    for name, array in (("labels", labels), *((f"task{k}", each) for k, each in enumerate(logits))):
        if array.shape != (len(labels), len(columns)):
            raise ValueError(f"{name}.npy has shape {array.shape} with {len(columns)} classes")
    return Scores(
        logits=logits,
        labels=labels,
        task_rows=_rows(run, len(labels)),
        task_classes=[[columns[name] for name in task["classes"]] for task in manifest["tasks"]],
        threshold=float(run.config["protocol"].get("threshold", 0.5)),
        joint=joint,
        scored=scored,
    )


def _rows(run: Run, images: int) -> list[IntArray]:
    """The rows of each task's test images: one task's after another's, unless tasks share some."""
    tasks = run.env["manifest"]["tasks"]
    if any("test" not in task for task in tasks):
        raise Unknowable("env.json does not say how many images each task was tested on")
    counts = [int(task["test"]) for task in tasks]
    if sum(counts) == images:
        return list(np.split(np.arange(images), np.cumsum(counts)[:-1]))
    if not (run.folder / "logits/tested.npy").exists():
        raise Unknowable("tasks share test images, and which are whose was not recorded yet")
    tested = run.array("tested")
    if tested.dtype != np.bool_ or tested.shape != (len(tasks), images) or tested.sum(axis=1).tolist() != counts:
        raise ValueError("tested.npy does not fit the manifest's tasks")
    return [np.flatnonzero(line) for line in tested]


def _groups(run: Run) -> dict[str, list[int]]:
    columns = _columns(run)
    return {name: [columns[each] for each in names] for name, names in run.env["manifest"]["groups"].items()}


def _columns(run: Run) -> dict[str, int]:
    return {name: column for column, name in enumerate(run.env["manifest"]["classes"])}


def _different(reported: Any, found: Any, where: str) -> Iterator[str]:
    """Where a report does not say what was found; what it says besides is not ours."""
    if isinstance(found, Mapping) and isinstance(reported, Mapping):
        for name, value in found.items():
            yield from _different(reported.get(name), value, f"{where}.{name}" if where else name)
    elif isinstance(found, list) and isinstance(reported, list) and len(found) == len(reported):
        for number, value in enumerate(found):
            yield from _different(reported[number], value, f"{where}[{number}]")
    elif not _same(reported, found):
        yield f"{where} ({reported} for {found})"


def _same(reported: Any, found: Any) -> bool:
    if isinstance(found, float) and isinstance(reported, float | int) and not isinstance(reported, bool):
        return abs(found - reported) <= CLOSE * (1 + abs(found))
    return type(reported) is type(found) and bool(reported == found)
