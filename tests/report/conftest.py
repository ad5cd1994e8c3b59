from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clbench.metrics import Scores, evaluate
from clbench.report.figures import Drawing, draw
from clbench.report.rows import COUNTS, Row, collect
from clbench.store.folder import DONE, FAILED, RunWriter, find_runs, run_folder

Make = Callable[..., None]

TASKS = [(0, 1), (2, 3)]
GROUPS = {"majority": (0, 2), "minority": (1, 3)}
SOME = ["no test image shows e"]
"""Notes that only seed 0 has where tasks are drawn."""
ROWS = [np.arange(0, 6), np.arange(6, 12)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(store: Path) -> Make:
    """Writes a made run folder below `store`; see `write_run`."""
    return partial(write_run, store)


@pytest.fixture(scope="session")
def maker() -> Callable[[Path], Make]:
    """`make` for a store of one's own, of a module for example."""
    return lambda store: partial(write_run, store)


def write_run(
    store: Path,
    strategy: str,
    seed: int,
    state: str = DONE,
    *,
    reason: str | None = None,
    changed: dict[str, Any] | None = None,
    epochs: int = 1,
    view: str = "all",
    manifest: str = "a" * 64,
    joint: bool = False,
    freeze: str | None = None,
    leak: str | None = None,
    protocol: dict[str, str] | None = None,
    scenario: str = "made",
    offset: float = 0.0,
    stored: list[list[int]] | None = None,
    grouped: bool = True,
    paper: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    counts: tuple[int, int, int] | None = (6, 33, 15),
    recipe: dict[str, Any] | None = None,
    drawn: str = "",
    head: str = "linear",
    memory: str | None = None,
    by_positives: list[list[float]] | None = None,
    trained_by: str = "",
) -> None:
    """A made run of two tasks and four classes.

    offset: added to its final mAP. stored: what its memory holds after each task. grouped: with frequency groups.
    paper: as `Paper.record` gives it. model: options of the model.
    counts: steps, images, replayed images; None as an older version leaves them out.
    by_positives: `angle_by_positives` after the last task.
    drawn: a hash of what the seed has drawn its tasks from; then the classes go round from letter number `seed`.
    """
    groups = GROUPS if grouped else {}
    writer = RunWriter(run_folder(store, scenario, strategy, f"{epochs:04}{manifest[:4]}{len(changed or {}):04}", seed))
    made = {"head": "linear"} | ({"freeze": freeze} if freeze else {}) | (model or {})
    options = {"model": made, "train": {"epochs": epochs}} | ({"memory": {"size": 4}} if memory else {})
    config: dict[str, Any] = {"strategy": strategy, "head": head, "memory": memory, "view": view, "joint": joint}
    config |= {"options": options, "changed": changed or {}, "protocol": protocol or {"images": "exclusive"}}
    told = {"sha256": "5" * 64, "seconds": 1.0, "options": [], "overridden": []}
    config |= {"paper": paper} | ({"recipe": told | recipe} if recipe else {})
    config |= {"trained_by": trained_by} if trained_by else {}
    writer.json("config.json", config)
    data: dict[str, Any] = {"hash": manifest, "classes": list("abcd"), "notes": ["3 images left out"]}
    data |= {"tasks": [{"classes": ["a", "b"]}, {"classes": ["c", "d"]}], "train_positives": [5, 9, 2, 4]}
    data |= {"groups": {name: ["abcd"[c] for c in columns] for name, columns in groups.items()}}
    if drawn:
        names = list(np.roll(list("abcd"), -seed).tolist())
        data |= {"hash": f"{seed}" * 64, "classes": names, "drawn": {"seed": seed, "source": drawn}}
        data |= {"tasks": [{"classes": names[:2]}, {"classes": names[2:]}], "notes": [*data["notes"], *SOME[seed:]]}
    writer.json("env.json", {"manifest": data} | ({"weights": {"leak": leak}} if leak else {}))
    if state == DONE:
        rng = np.random.default_rng(seed)
        labels = np.zeros((12, 4), np.uint8)
        for columns, rows in zip(TASKS, ROWS, strict=True):
            labels[rows, np.resize(columns, 6)] = 1
        logits = [rng.normal(size=(12, 4)).astype(np.float32) for _ in range(1 if joint else 2)]
        scores = Scores(logits=logits, labels=labels, task_rows=ROWS, task_classes=TASKS, joint=joint)
        found = evaluate(scores, groups)
        found["final"]["mAP"] += offset
        cost = {"train_seconds": [1.5, 2.5], "eval_seconds": [0.5], "memory_bytes": 2_000_000}
        cost |= {"peak_memory_bytes": 3_000_000, "parameters": 7}
        cost |= dict(zip(COUNTS, counts, strict=True)) if counts else {}
        found |= {"positive_angle": [80.0, 75.25], "memory_counts": stored, "cost": cost}
        if by_positives:
            found["angle_by_positives"] = [[] for _ in found["overall"][1:]] + [by_positives]
        writer.json("metrics.json", found)
        if strategy == "dlfl":
            maps = rng.random((3, 2, 2)).astype(np.float16)
            pixels = rng.integers(256, size=(3, 3, 8, 8), dtype=np.uint8)
            writer.arrays("attention", {"classes": np.arange(3), "pixels": pixels, "maps": maps})
    writer.close(state, reason)


@pytest.fixture
def three(store: Path, make: Make) -> list[Row]:
    for seed in range(3):
        make("er", seed, stored=[[3, 1, 0, 0], [2, 1, 0, seed]])
        make("dlfl", seed, offset=0.1, by_positives=[[1, 20.0, 5], [2, 25.0, 4]])
    make("joint", 0, joint=True)
    make("lwf", 0, FAILED, reason="it broke")
    return collect(find_runs(store))


@pytest.fixture
def drawn(store: Path, make: Make) -> dict[str, Drawing]:
    """Two seeds with the columns a, b, c, d and b, c, d, a; the second row has the second seed alone."""
    for seed in range(2):
        make("er", seed, drawn="d" * 64, stored=[[3, 1, 0, 0], [2, 1, 0, seed]])
    make("dlfl", 1, drawn="d" * 64)
    er_first = sorted(collect(find_runs(store)), key=lambda row: row.label, reverse=True)
    return {drawing.name: drawing for drawing in draw(er_first)}
