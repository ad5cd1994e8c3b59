"""`clbench report` over many run folders: seconds of the whole command, and the size of the HTML page.

    python bench/report.py [--runs 1000] [--page-runs 100] [--repeats 5]

The runs are made: 5 seeds of each configuration, 5 tasks and 20 classes as in digits-seq, random scores, run folders as
`clbench run` writes them but without logits. The time is a fresh process's, from its start to its end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import header, spread

from clbench.metrics import Scores, evaluate
from clbench.store.folder import DONE, RunWriter, run_folder

SEEDS, TASKS, CLASSES, IMAGES = 5, 5, 20, 400
SCENARIO, STRATEGY = "digits-seq", "er"


def content() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """config.json, env.json and metrics.json of one run."""
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, CLASSES)) < 0.2).astype(np.uint8)
    rows = np.array_split(np.arange(IMAGES), TASKS)
    columns = [tuple(int(c) for c in part) for part in np.array_split(np.arange(CLASSES), TASKS)]
    groups = {"majority": range(5), "moderate": range(5, 15), "minority": range(15, 20)}
    logits = [rng.normal(size=labels.shape).astype(np.float32) for _ in range(TASKS)]
    names = [f"class {c}" for c in range(CLASSES)]
    scores = Scores(logits=logits, labels=labels, task_rows=rows, task_classes=columns)
    metrics = evaluate(scores, groups) | {
        "positive_angle": [80.0] * TASKS,
        "memory_counts": [labels[:100].sum(0).tolist()] * TASKS,
        "cost": {
            "train_seconds": [3.0] * TASKS,
            "eval_seconds": [1.0] * TASKS,
            "memory_bytes": 4_915_200,
            "peak_memory_bytes": 300_000_000,
            "parameters": 100_000,
        },
    }
    env = {
        "packages": {"torch": "2"},
        "weights": {},
        "manifest": {
            "hash": "0" * 64,
            "classes": names,
            "groups": {group: [names[c] for c in members] for group, members in groups.items()},
            "train_positives": labels.sum(0).tolist(),
            "tasks": [{"name": str(t), "classes": [names[c] for c in part]} for t, part in enumerate(columns)],
            "notes": [],
        },
    }
    options = {"model": {}, "train": {"epochs": 1}, "memory": {"size": 400}}
    config = {"scenario": SCENARIO, "strategy": STRATEGY, "head": "linear", "memory": "reservoir", "view": "all"}
    return (
        config | {"options": options, "joint": False, "protocol": {"images": "exclusive", "missing": "none"}},
        env,
        metrics,
    )


def write_runs(store: Path, count: int) -> None:
    """So many run folders."""
    config, env, metrics = content()
    for number in range(count):
        chosen, seed = divmod(number, SEEDS)
        writer = RunWriter(run_folder(store, SCENARIO, STRATEGY, f"{chosen:012x}", seed))
        writer.json("config.json", config | {"changed": {"lr": chosen}})
        writer.json("env.json", env)
        writer.json("metrics.json", metrics)
        writer.close(DONE)


def report(store: Path, *options: str) -> tuple[float, bytes]:
    """Seconds, and what was printed."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "clbench", "report", "--runs", str(store), *options]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    return time.perf_counter() - started, printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="run folders behind the table")
    parser.add_argument("--page-runs", type=int, default=100, help="run folders behind the page")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        many, few = Path(folder, "many"), Path(folder, "few")
        write_runs(many, arguments.runs)
        write_runs(few, arguments.page_runs)
        tables = [report(many) for _ in range(arguments.repeats)]
        pages = [report(few, "--format", "html") for _ in range(arguments.repeats)]
        print(f"table of {arguments.runs} runs: {spread([seconds for seconds, _ in tables], 's')}")
        size = len(pages[0][1]) / 1e6
        print(f"page of {arguments.page_runs} runs: {spread([seconds for seconds, _ in pages], 's')}, {size:.2f} MB")
        print(f"the same bytes each time: {len({printed for _, printed in (*tables, *pages)}) == 2}")


if __name__ == "__main__":
    main()
