"""Workers in this process, that do what they are told to, so that a launcher can be watched without any others."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.launch.worker import Telling, carry_out
from clbench.running.stops import Requests
from clbench.store.lock import Busy

Heard = Callable[[Any, dict[str, Any] | None], None]
ERRORS = {"busy": Busy("another process has it"), "short": MemoryError("nothing left"), "breaks": KeyError("x")}
SHORT = """
from clbench import Strategy


class Short(Strategy):
    def observe(self, batch):
        raise MemoryError("nothing left")
"""
"""A strategy that finds no memory."""


def debug(out: Path, *seeds: int, **more: Any) -> list[Spec]:
    """A small run for each seed."""
    return [Spec("debug", "finetune", seed=seed, out=out, **more) for seed in seeds]


class ScriptedWorkers:
    """Stands for the class of worker processes.

    acts: seed of a run -> what becomes of it at each time that it is handed out: `dies` or `begins` (and dies then),
    `slow` (it says that it goes on, and the rest later), or a word of ERRORS; where there is none left, it is carried
    out. told: every message, with the number of its worker.
    """

    def __init__(self, acts: dict[int, list[str]]) -> None:
        self.acts = acts
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.workers: list[ScriptedWorker] = []

    def __call__(self, device: str, heard: Heard) -> "ScriptedWorker":
        worker = ScriptedWorker(self, len(self.workers), device, heard)
        self.workers.append(worker)
        return worker

    def runs(self, seed: int) -> list[dict[str, Any]]:
        """Messages that handed out the run of a seed."""
        return [message for _, message in self.told if "run" in message and message["run"]["seed"] == seed]


class ScriptedWorker:
    def __init__(self, team: ScriptedWorkers, number: int, device: str, heard: Heard) -> None:
        self.device, self.ended = device, 0
        self._team, self._number, self._heard = team, number, heard
        self._says({"is": "ready"})

    def tell(self, **message: Any) -> None:
        self._team.told.append((self._number, message))
        if "run" not in message:
            return
        left = self._team.acts.get(message["run"]["seed"])
        act = left.pop(0) if left else ""
        if act == "slow":
            later = self._carried_out(message)
            self._says({"is": "said", "message": "it goes on"})
            threading.Timer(0.2, self._all_said, [later]).start()
        elif act in ("dies", "begins"):
            self._says({"is": "begun"} if act == "begins" else {"is": "said", "message": "it dies"})
            self._heard(self, None)
        elif act:
            self._says({"is": "over", "outcome": _lost(Spec.from_json(message["run"]), ERRORS[act])})
        else:
            self._all_said(self._carried_out(message))

    def kill(self) -> None:
        raise AssertionError("it was ready at once")

    def leave(self) -> None:
        pass

    def end(self) -> str:
        self.ended += 1
        return "ended with code 7"

    def _carried_out(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """All that it says of the run."""
        to = io.StringIO()
        outcome = carry_out([message["run"]], message["how"], Telling(to), Requests())
        return [*map(json.loads, to.getvalue().splitlines()), {"is": "over", "outcome": outcome}]

    def _all_said(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self._says(message)

    def _says(self, message: dict[str, Any]) -> None:
        self._heard(self, json.loads(json.dumps(message)))


def _lost(spec: Spec, error: Exception) -> dict[str, Any]:
    failures = [Failure(spec, error)]
    return (Outcome(busy=failures) if isinstance(error, Busy) else Outcome(failures=failures)).as_json()
