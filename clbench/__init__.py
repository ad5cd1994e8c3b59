"""clbench: a benchmark suite for continual multi-label image classification."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "ClbenchError",
    "Head",
    "Memory",
    "MemoryOptions",
    "Replay",
    "Scenario",
    "ScenarioBuilder",
    "Setup",
    "Stage",
    "Strategy",
    "StreamMemory",
    "Task",
    "Values",
    "load_runs",
    "option",
    "run",
    "to_avalanche",
]

# Names are imported when they are first used: torch takes seconds, and `clbench --help` must not.
_HOMES = {
    "Batch": "clbench.learning.batch",
    "ClbenchError": "clbench.errors",
    "Head": "clbench.models.head",
    "Memory": "clbench.memory",
    "MemoryOptions": "clbench.memory",
    "Scenario": "clbench.scenario.tasks",
    "ScenarioBuilder": "clbench.scenario.builder",
    "Replay": "clbench.learning.batch",
    "Setup": "clbench.learning.strategy",
    "Stage": "clbench.learning.stage",
    "Strategy": "clbench.learning.strategy",
    "StreamMemory": "clbench.memory",
    "Task": "clbench.scenario.tasks",
    "Values": "clbench.learning.batch",
    "load_runs": "clbench.report.frame",
    "option": "clbench.options",
    "run": "clbench.launch.run",
    "to_avalanche": "clbench.adapters.avalanche",
}

if TYPE_CHECKING:
    from clbench.adapters.avalanche import to_avalanche
    from clbench.errors import ClbenchError
    from clbench.launch.run import run
    from clbench.learning.batch import Batch, Replay, Values
    from clbench.learning.stage import Stage
    from clbench.learning.strategy import Setup, Strategy
    from clbench.memory import Memory, MemoryOptions, StreamMemory
    from clbench.models.head import Head
    from clbench.options import option
    from clbench.report.frame import load_runs
    from clbench.scenario.builder import ScenarioBuilder
    from clbench.scenario.tasks import Scenario, Task


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
