"""Runs in forked children, which have torch imported already, and what becomes of a run that is killed or fails."""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save

from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.learning.loader import WORKERS
from clbench.learning.strategy import Strategy
from clbench.running import execute as runner
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.resume import Schedule
from clbench.scenario.samples import Samples
from clbench.store import checkpoint

CPU = torch.device("cpu")
KINDS: tuple[tuple[str, str, str | None], ...] = (
    ("debug", "finetune", None),
    ("debug", "er", "reservoir"),
    ("debug", "ewc", "prs"),
    ("debug", "lwf", "reservoir"),
    ("debug", "dlfl", "prs"),
    ("debug", "joint", None),
    ("debug", "er", "prs"),
    ("debug-incremental", "er", "reservoir"),
    ("debug-incremental", "ewc", None),
    ("debug-incremental", "lwf", "prs"),
)
"""Scenario, strategy, memory: every built-in strategy and memory, and heads that grow."""


def prepare(kind: tuple[str, str, str | None], **settings: Any) -> Prepared:
    scenario, strategy, memory = kind
    config = resolve(scenario, strategy, memory=memory, settings={"epochs": 2, **settings})
    return Prepared(config, build_scenario(config))


def in_child(work: Callable[[], None]) -> int:
    """Run something in a forked child; its exit code, or minus the signal that killed it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def go(prepared: Prepared, out: Path, *listeners: Listener, steps: int = 2, workers: int = WORKERS) -> None:
    """Run, or go on; leaves a hash of the strategy's last state beside the results."""
    built: list[Strategy] = []

    def kept(*arguments: Any, **options: Any) -> Strategy:
        built.append(build_strategy(*arguments, **options))
        return built[0]

    with patch.object(runner, "build_strategy", kept):
        execute(prepared, 0, out, How("cpu", Schedule(steps=steps), workers), listeners=[Aloud(), *listeners])
    if built:
        (out / "final").write_text(state_hash(built[0].state()))


def state_hash(state: Any) -> str:
    """Of every bit of a state."""
    tensors: dict[str, torch.Tensor] = {}
    plain = json.dumps(checkpoint._take_apart(state, "", tensors))
    return hashlib.sha256(plain.encode() + save(tensors)).hexdigest()


def outcome(prepared: Prepared, out: Path) -> dict[str, str]:
    """Hashes of all that a run leaves behind but seconds, bytes of memory, versions and times of day."""
    folder = prepared.folder(out, 0)
    files = [folder / "events.jsonl", folder / "config.json", *sorted((folder / "logits").iterdir())]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("cost")
    assert json.loads((folder / "status.json").read_text())["state"] == "done"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {**hashes, "metrics": json.dumps(metrics, sort_keys=True), "names": json.dumps(names)}


def reference(prepared: Prepared, out: Path) -> tuple[dict[str, str], str]:
    """What the uninterrupted run leaves, and the hash of its last state."""
    assert in_child(lambda: go(prepared, out)) == 0
    return outcome(prepared, out), (out / "final").read_text()


class Aloud(Listener):
    """Says on standard error what is said."""

    def said(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)


class KilledAt(Listener):
    """SIGKILL after so many steps of this process."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


Act = Callable[[int, str, tuple[Any, ...]], object]
"""(number of the operation, its name, its arguments), called before it is done; may raise."""


def watch_files(act: Act) -> None:
    """Call `act` before every write, fsync, rename and removal that this process does; for children only."""
    count = 0

    def watched(function: Any, name: str) -> Any:
        def replacement(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            where = os.readlink(f"/proc/self/fd/{arguments[0]}") if isinstance(arguments[0], int) else arguments[0]
            act(count, f"{name} {Path(where).name}", arguments)
            return function(*arguments, **options)

        return replacement

    for name in ("write", "fsync", "replace", "rename", "ftruncate", "mkdir"):
        setattr(os, name, watched(getattr(os, name), name))
    shutil.rmtree = watched(shutil.rmtree, "rmtree")
