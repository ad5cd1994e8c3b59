"""What became of a list of runs, as data: whoever started it makes words, exit codes or the next attempt of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, Self

from clbench.errors import ClbenchError, StoreError
from clbench.launch.spec import Spec
from clbench.running.stops import Stopped, out_of_memory, reason
from clbench.store.folder import TRACEBACK, Run
from clbench.store.lock import Busy


class Elsewhere(ClbenchError):
    """What went wrong in another process, in its words.

    exit_code: what it comes to. foreseen: it was raised on purpose. no_memory: there was none left.
    """

    def __init__(self, message: str, exit_code: int = 1, foreseen: bool = True, no_memory: bool = False) -> None:
        super().__init__(message)
        self.exit_code, self.foreseen, self.no_memory = exit_code, foreseen, no_memory


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end, and why. folder: the run's; None where not even that could be known."""

    spec: Spec
    error: Exception
    folder: Path | None = None

    def __str__(self) -> str:
        scenario = None if self.folder is None else self.folder.parents[2].name
        return f"{self.spec.called(scenario)} seed {self.spec.seed}: {reason(self.error)}{self._trace}"

    @property
    def foreseen(self) -> bool:
        """Whether somebody raised it on purpose."""
        return self.error.foreseen if isinstance(self.error, Elsewhere) else isinstance(self.error, ClbenchError)

    @property
    def no_memory(self) -> bool:
        """Whether there was no memory left, on the device or in the machine."""
        return self.error.no_memory if isinstance(self.error, Elsewhere) else out_of_memory(self.error)

    @property
    def exit_code(self) -> int:
        if isinstance(self.error, ClbenchError):
            return self.error.exit_code
        return StoreError.exit_code if self._of_the_store else ClbenchError.exit_code

    @property
    def _of_the_store(self) -> bool:
        """Whether something in the results folder cannot be used; a full disk may pass, and is a run that failed."""
        error = self.error
        if not isinstance(error, OSError) or not isinstance(error.filename, str) or error.errno in (ENOSPC, EDQUOT):
            return False
        return Path(error.filename).absolute().is_relative_to(self.spec.out.absolute())

    @property
    def _trace(self) -> str:
        """Where more is to be read of an error that nobody raised on purpose."""
        if self.foreseen or not self.folder or not (self.folder / TRACEBACK).is_file():
            return ""
        return f"; the traceback is in {self.folder}"

    def as_json(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return {
            "spec": self.spec.as_json(),
            "folder": None if self.folder is None else str(self.folder),
            "error": reason(self.error),
            "busy": isinstance(self.error, Busy),
            "exit_code": self.exit_code,
            "foreseen": self.foreseen,
            "no_memory": self.no_memory,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `as_json` gave there; its error says the same and comes to the same exit code."""
        said = str(value["error"])
        error = Elsewhere(said, value["exit_code"], value["foreseen"], value["no_memory"])
        folder = None if value["folder"] is None else Path(value["folder"])
        return cls(Spec.from_json(value["spec"]), Busy(said) if value["busy"] else error, folder)


@dataclass
class Outcome:
    """What became of a list of runs.

    runs: done, now or before. busy: still another process's when they were looked at once more. stop: what made the
    list end early; the specs that are in none of the lists were not come to.
    """

    runs: list[Run] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    busy: list[Failure] = field(default_factory=list)
    stop: Stopped | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return {
            "runs": [str(run.folder) for run in self.runs],
            "failures": [failure.as_json() for failure in self.failures],
            "busy": [failure.as_json() for failure in self.busy],
            "stop": self.stop and [str(self.stop), self.stop.exit_code],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `as_json` gave there."""
        failures, busy = ([Failure.from_json(each) for each in value[name]] for name in ("failures", "busy"))
        stop = Stopped(*value["stop"]) if value["stop"] else None
        return cls([Run(Path(folder)) for folder in value["runs"]], failures, busy, stop)
