"""Reads back what trackers were sent, and what they should have been, without the code under test."""

import importlib.util
import json
from pathlib import Path

import pytest

from clbench.store.folder import Run

Scalars = dict[str, list[tuple[int, float]]]


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}, an extra")


def event_files(folder: Path) -> Scalars:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})  # all of them
    accumulator.Reload()
    return {
        tag: [(event.step, event.tensor_proto.float_val[0]) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def expected(run: Run) -> Scalars:
    """From the run folder, without the code under test."""
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    metrics = json.loads((run.folder / "metrics.json").read_text())
    found = {"train/loss": list(enumerate(losses))}
    found["eval/mAP"] = [(task, values["mAP"]) for task, values in enumerate(metrics["overall"])]
    found["final/forgetting_mAP"] = [(len(metrics["overall"]) - 1, metrics["final"]["forgetting_mAP"])]
    return found


def check(found: Scalars, run: Run) -> None:
    for tag, points in expected(run).items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in points], rel=1e-6)
