"""What Avalanche has trained as a run folder, which report, compare and verify take like any other."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from importlib.metadata import version
from pathlib import Path
from re import fullmatch
from typing import Any

import numpy as np

from clbench import plugins
from clbench.adapters.avalanche.metrics import MultiLabelMetrics
from clbench.errors import UsageError
from clbench.files import DEFAULT_OUT
from clbench.learning.listener import Evaluation
from clbench.options import NoOptions
from clbench.running import environment
from clbench.running.config import Config
from clbench.running.recording import score, write_truth
from clbench.scenario.views import ALL
from clbench.store.folder import DONE, RUNNING, Run, RunWriter, finished, run_folder, short_hash
from clbench.store.lock import held

UNKNOWN = {"source": "unknown", "sha256": None, "trained_on": None, "leak": None, "note": None}
"""Initial weights of which nothing is told."""


@dataclass(frozen=True)
class OwnModel:
    """What tables say of a model that clbench has not built."""

    backbone: str = "own"


def record(
    metrics: MultiLabelMetrics,
    name: str,
    *,
    seed: int,
    memory_bytes: int,
    settings: Mapping[str, bool | int | float | str] | None = None,
    view: str = ALL,
    out: Path = DEFAULT_OUT,
) -> Run:
    """Write `out`/<scenario>/<name>/<hash of settings and data>/seed<seed>, as `clbench run` would.

    metrics: took part in training, and heard an evaluation of the test stream after each task. name: of the method,
        e.g. ``my-replay``; tables name it so. memory_bytes: what it kept of the past at its end; 0 for nothing.
    settings: all that makes two runs of the name different, e.g. ``{"lr": 0.01, "mem_size": 200}``; tables show it.
    view: what the scenario was seen through. seed: everything was drawn from; clbench has no part in that.

    The folder says that Avalanche has trained, and which version. Steps are those that `metrics` saw, each with its
    loss, and gradient images those of their batches, replayed ones too, which are not told apart.

    Raises:
        UsageError: a name that a strategy of clbench has, or no name; a task without evaluation; a number that is not
            finite; a setting that is no number, text or truth value; or such a run is there already.
        StoreError: the folder cannot be written.
    """
    scenario = metrics.scenario
    config = _config(scenario.name, name, dict(settings or {}), view)
    _check(metrics, name)
    manifest = scenario.manifest()
    trained_by = f"avalanche-lib {version('avalanche-lib')}"
    data = scenario.drawn.source if scenario.drawn else manifest["hash"]
    identity = config.identity(scenario_name=scenario.name, data=data, weights=UNKNOWN) | {"trained_by": trained_by}
    folder = run_folder(out, scenario.name, name, short_hash(identity), seed)
    with held(folder) as check:
        if finished(folder):
            raise UsageError(f"Expected no run of these settings and this seed but {folder} is one; remove it first.")
        writer = RunWriter(folder, check=check)
        known = {"seed": seed, "joint": False, "protocol": dict(scenario.protocol), "paper": None, "identity": identity}
        writer.json("config.json", {**config.resolved(), **known, "trained_by": trained_by})
        env = environment.record(metrics.device) | {"manifest": manifest, "weights": UNKNOWN, "trained_by": trained_by}
        writer.json("env.json", env | {"command": [Path(sys.argv[0]).name, *sys.argv[1:]]})
        write_truth(writer, scenario)
        writer.status(RUNNING)
        for task in range(len(scenario)):
            writer.array(f"task{task}", metrics.logits[task])
        writer.events(list(_events(metrics)))
        writer.json("metrics.json", _metrics(metrics, memory_bytes))
        writer.close(DONE)
    return Run(folder)


def _check(metrics: MultiLabelMetrics, name: str) -> None:
    """Raises UsageError where there is nothing to record under that name."""
    if not fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise UsageError(f"Expected a name like my-replay, small letters, digits and hyphens, but got {name!r}.")
    if name in plugins.available("strategy", hidden=True):
        raise UsageError(f"Expected a name that no strategy of clbench has but got {name!r}; choose another.")
    missing = [task + 1 for task in range(len(metrics.scenario)) if task not in metrics.logits]
    if missing:
        raise UsageError(
            f"Expected strategy.eval(streams.test_stream) after each of {len(metrics.scenario)} tasks but there is "
            f"none after task {missing[0]}."
        )
    for task in range(len(metrics.scenario)):
        columns = [column for each in metrics.scenario[: task + 1] for column in each.classes]
        if not np.isfinite(metrics.logits[task][:, columns]).all():
            raise UsageError(
                f"Expected finite logits of every class so far after task {task + 1} but got others; the training has "
                "diverged, or the model has too few columns."
            )


def _config(scenario: str, name: str, settings: dict[str, Any], view: str) -> Config:
    """As of a run of clbench: the settings stand where a strategy's options do."""
    for key, value in settings.items():
        if not key.isidentifier() or not isinstance(value, bool | int | float | str):
            raise UsageError(f"Expected settings like {{'lr': 0.01}} but got {key!r}: {value!r}.")
    given = make_dataclass("Settings", [(key, type(value), field(default=value)) for key, value in settings.items()])
    options = {part: NoOptions() for part in ("scenario", "head", "train")} | {"strategy": given(), "model": OwnModel()}
    return Config(scenario, name, None, OwnModel.backbone, view, options, settings)


def _events(metrics: MultiLabelMetrics) -> Iterator[dict[str, Any]]:
    for task, learned in sorted(metrics.learned.items()):
        for step, loss in enumerate(learned.losses):
            value = float(loss)
            if not np.isfinite(value):
                raise UsageError(f"Expected finite losses but got {value} at task {task + 1}, step {step + 1}.")
            yield {"event": "step", "task": task, "step": step, "loss": value}
        yield {"event": "evaluated", "task": task}


def _metrics(metrics: MultiLabelMetrics, memory_bytes: int) -> dict[str, Any]:
    """What metrics.json holds; see `clbench.running.recording.costs`."""
    learned = [metrics.learned[task] for task in range(len(metrics.scenario))]
    evaluations = [
        Evaluation(metrics.logits[task], None, each.train_seconds, each.eval_seconds, None, [])
        for task, each in enumerate(learned)
    ]
    cost = {
        "steps": sum(len(each.losses) for each in learned),
        "gradient_images": sum(each.images for each in learned),
        "replayed_images": None,
        "feature_seconds": 0.0,
        "train_seconds": [each.train_seconds for each in learned],
        "eval_seconds": [each.eval_seconds for each in learned],
        "peak_memory_bytes": environment.peak_memory_bytes(metrics.device),
        "memory_bytes": memory_bytes,
        "parameters": metrics.parameters,
    }
    found = score(metrics.scenario, evaluations, joint=False)
    return found | {"positive_angle": [None] * len(learned), "cost": cost}
