from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clbench.metrics import evaluate
from clbench.records import DONE, RunWriter, run_folder

Make = Callable[..., None]

TASKS = [(0, 1), (2, 3)]
ROWS = [np.arange(0, 6), np.arange(6, 12)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(store: Path) -> Make:
    """Writes a made run folder of two tasks and four classes; `offset` is added to its final mAP."""

    def write(
        strategy: str,
        seed: int,
        state: str = DONE,
        *,
        reason: str | None = None,
        changed: dict[str, Any] | None = None,
        epochs: int = 1,
        limit: int | None = None,
        manifest: str = "a" * 64,
        joint: bool = False,
        freeze: str | None = None,
        leak: str | None = None,
        protocol: dict[str, str] | None = None,
        scenario: str = "made",
        offset: float = 0.0,
    ) -> None:
        writer = RunWriter(
            run_folder(store, scenario, strategy, f"{epochs:04}{manifest[:4]}{len(changed or {}):04}", seed)
        )
        model = {"head": "linear"} | ({"freeze": freeze} if freeze else {})
        options = {"model": model, "train": {"epochs": epochs}}
        config = {"strategy": strategy, "memory": None, "limit": limit, "options": options, "changed": changed or {}}
        writer.json("config.json", config | {"protocol": protocol or {"images": "exclusive"}})
        data = {"hash": manifest, "tasks": [0, 1], "classes": list("abcd"), "notes": ["3 images left out"]}
        writer.json("env.json", {"manifest": data} | ({"weights": {"leak": leak}} if leak else {}))
        if state == DONE:
            rng = np.random.default_rng(seed)
            labels = np.zeros((12, 4), np.uint8)
            for columns, rows in zip(TASKS, ROWS, strict=True):
                labels[rows, np.resize(columns, 6)] = 1
            logits = [rng.normal(size=(12, 4)).astype(np.float32) for _ in range(1 if joint else 2)]
            found = evaluate(logits, labels, ROWS, TASKS, {"majority": (0, 2), "minority": (1, 3)}, joint=joint)
            found["final"]["mAP"] += offset
            cost = {"train_seconds": [1.5, 2.5], "eval_seconds": [0.5], "memory_bytes": 2_000_000}
            cost |= {"peak_memory_bytes": 3_000_000, "parameters": 7}
            stored = [[3, 2, 0, 0], [2, 1, 1, 2]] if strategy in ("er", "dlfl") else [None, None]
            found |= {"positive_angle": [80.0, 75.25], "stored": stored, "train_positives": [9, 4, 7, 1]}
            writer.json("metrics.json", found | {"cost": cost})
            if strategy == "dlfl":
                maps = rng.random((3, 2, 2)).astype(np.float16)
                pixels = rng.integers(256, size=(3, 3, 8, 8), dtype=np.uint8)
                writer.arrays("attention", {"classes": np.arange(3), "pixels": pixels, "maps": maps})
        writer.close(state, reason)

    return write
