"""What became of a list of runs, as data: whoever started it makes words, exit codes or the next attempt of it."""

from dataclasses import dataclass, field
from pathlib import Path

from clbench.errors import ClbenchError
from clbench.launch.spec import Spec
from clbench.running.stops import Stopped, reason
from clbench.store.folder import TRACEBACK, Run


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
    def _trace(self) -> str:
        """Where more is to be read of an error that nobody raised on purpose."""
        if isinstance(self.error, ClbenchError) or not self.folder or not (self.folder / TRACEBACK).is_file():
            return ""
        return f"; the traceback is in {self.folder}"


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
