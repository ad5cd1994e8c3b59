"""From a configuration and its data to a run folder: builds the model and the strategy, trains, records."""

import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clbench.learning.engine import deterministic
from clbench.learning.listener import Diverged, Listener, voice
from clbench.learning.loader import WORKERS
from clbench.learning.trainer import Progress, train
from clbench.models.features import FOLDER as FEATURES
from clbench.running import environment, resume
from clbench.running.attention import attention_maps
from clbench.running.build import Prepared, build_strategy
from clbench.running.recording import Recorder, costs, score
from clbench.running.resume import Checkpointer, Schedule, WhilePreparing
from clbench.running.stops import Requests, Stopped, passing, reason
from clbench.store.checkpoint import Checkpoint
from clbench.store.folder import (
    CHECKPOINTS,
    DIVERGED,
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    Run,
    RunWriter,
    finished,
    store_of,
)
from clbench.store.lock import held


def execute(
    prepared: Prepared,
    seed: int,
    *,
    out: Path,
    device: torch.device,
    listeners: Sequence[Listener] = (),
    rerun: bool = False,
    schedule: Schedule | None = None,
    requests: Requests | None = None,
    workers: int = WORKERS,
) -> Run:
    """Run one seed, from its last checkpoint if it has one; nothing where it is done already.

    What stops a run is recorded in the run folder before it is raised. Where it may pass (a signal, a full disk, no
    memory, missing data) the checkpoints stay, and the same call goes on.

    rerun: start afresh. schedule: when to write checkpoints. requests: what may ask the run to stop. workers: threads
    that decode images ahead.

    Raises:
        Busy: another process has this run.
        Stopped: `requests` asked for it.
    """
    folder, tell = prepared.folder(out, seed), voice(listeners)
    with held(folder):
        done = None if rerun else finished(folder)
        if done:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # of a process that was killed before it did
            return done
        found = None if rerun else resume.latest(folder, prepared.identity(seed, device), device, tell)
        if found:
            tell(f"{folder}: going on after step {found.step}")
        deterministic(seed, prepared.config.options["train"].threads)
        writer = RunWriter(folder, found.state["record"]["events"] if found else None)
        _begin(prepared, seed, device, writer, found)
        attempt = Attempt(
            prepared, seed, device, writer, found, schedule or Schedule(), requests or Requests(), workers
        )
        return _recorded(attempt, listeners)


@dataclass(frozen=True)
class Attempt:
    """One process's work on a run: from its start, or from a checkpoint."""

    prepared: Prepared
    seed: int
    device: torch.device
    writer: RunWriter
    found: Checkpoint | None
    schedule: Schedule
    requests: Requests
    workers: int


def _begin(prepared: Prepared, seed: int, device: torch.device, writer: RunWriter, found: Checkpoint | None) -> None:
    """config.json, env.json and what is known before the first step."""
    writer.json(
        "config.json", {**prepared.config.resolved(), "seed": seed, "protocol": dict(prepared.scenario.protocol)}
    )
    env = environment.record(device)
    env |= {
        "manifest": prepared.manifest,
        "weights": prepared.weights,
        "freeze": prepared.config.options["model"].freeze,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "resumed_after_step": found.step if found else None,
    }
    writer.json("env.json", env)
    if prepared.scenario.absent:
        writer.text("absent.txt", "".join(f"{path}\n" for path in prepared.scenario.absent))
    writer.array("labels", prepared.scenario.labels[prepared.scenario.test_indices()])
    writer.status(RUNNING)


def _recorded(attempt: Attempt, listeners: Sequence[Listener]) -> Run:
    """Train, and write down how it ended."""
    writer, tell = attempt.writer, voice(listeners)
    try:
        writer.json("metrics.json", _train(attempt, listeners))
        writer.close(DONE)
    except Diverged as error:
        _close(writer, tell, DIVERGED, str(error), **_place(attempt, error))
        raise
    except Stopped as error:
        _close(writer, tell, INTERRUPTED, str(error))
        raise
    except Exception as error:
        _close(writer, tell, FAILED, reason(error), trace=traceback.format_exc(), keep=passing(error))
        raise
    except BaseException as error:
        _close(writer, tell, INTERRUPTED, type(error).__name__)
        raise
    shutil.rmtree(writer.folder / CHECKPOINTS, ignore_errors=True)
    return Run(writer.folder)


def _close(
    writer: RunWriter,
    tell: Callable[[str], None],
    state: str,
    why: str,
    *,
    trace: str | None = None,
    keep: bool = True,
    **details: Any,
) -> None:
    """Write down why a run ended early; the first error is not to be lost where this, too, cannot be written."""
    try:
        if finished(writer.folder):
            return  # the record is whole: only its last flush has failed
        if not keep or state == DIVERGED:
            shutil.rmtree(writer.folder / CHECKPOINTS, ignore_errors=True)
        if trace:
            writer.text("traceback.txt", trace)
        writer.close(state, why, **details)
    except OSError as error:
        tell(f"{writer.folder}: {state}, {why}; this could not be written: {error}")


def _place(attempt: Attempt, error: Diverged) -> dict[str, Any]:
    """Where a run diverged: for status.json."""
    scenario, options = attempt.prepared.scenario, attempt.prepared.config.options["train"]
    batch = None if error.batch is None else [scenario.ids[index] for index in error.batch]
    return {"at": {"task": error.task, "step": error.step, "lr": options.lr, "batch": batch}}


def _train(attempt: Attempt, listeners: Sequence[Listener]) -> dict[str, Any]:
    """Train to the end, and return what metrics.json holds."""
    prepared, seed, writer, found = attempt.prepared, attempt.seed, attempt.writer, attempt.found
    cache = store_of(writer.folder) / FEATURES
    preparing = WhilePreparing(attempt.requests)
    scenario = prepared.scenario
    strategy = build_strategy(
        prepared, seed, attempt.device, cache=cache, listeners=[*listeners, preparing], workers=attempt.workers
    )
    progress = resume.restore(found, strategy, writer.folder) if found else Progress()
    progress.feature_seconds += preparing.seconds
    recorder = Recorder(writer)
    checkpointer = Checkpointer(
        writer,
        strategy,
        progress,
        prepared.identity(seed, attempt.device),
        flush=recorder.flush,
        schedule=attempt.schedule,
        requests=attempt.requests,
        step=found.step if found else 0,
    )
    evaluations = train(
        strategy,
        scenario,
        prepared.config.options["train"],
        seed=seed,
        listeners=[recorder, *listeners, checkpointer],
        progress=progress,
    )
    if maps := attention_maps(scenario, strategy):
        writer.arrays("attention", maps)
    return score(scenario, evaluations, joint=strategy.joint) | costs(scenario, strategy, progress)
