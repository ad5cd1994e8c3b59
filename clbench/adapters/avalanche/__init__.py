"""Avalanche (avalanche-lib, the extra `avalanche`), both ways.

Outwards `to_avalanche` gives a scenario as Avalanche's own, to train on with Avalanche's strategies or one's own;
`MultiLabelMetrics` scores them as clbench does, and `record` writes a run folder of it. Inwards `AvalancheStrategy`
makes a strategy of an Avalanche plugin. docs/avalanche.md has both.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from clbench.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from avalanche.benchmarks.scenarios import CLScenario
    from avalanche.training import plugins
    from torch import Tensor

    from clbench.adapters.avalanche.metrics import MultiLabelMetrics
    from clbench.adapters.avalanche.recording import record
    from clbench.adapters.avalanche.scenario import masked, masked_bce
    from clbench.adapters.avalanche.strategy import AvalancheStrategy
    from clbench.scenario.tasks import Scenario

__all__ = ["AvalancheStrategy", "MultiLabelMetrics", "masked", "masked_bce", "plugins", "record", "to_avalanche"]

# Names are imported when they are first used: Avalanche takes seconds, and need not be there.
_HOMES = {
    "AvalancheStrategy": "strategy",
    "MultiLabelMetrics": "metrics",
    "masked": "scenario",
    "masked_bce": "scenario",
    "record": "recording",
}


def to_avalanche(scenario: "Scenario", transform: "Callable[[Tensor], Tensor] | None" = None) -> "CLScenario":
    """The streams `train_stream` and `test_stream`, one experience a task, whose samples are (image, targets).

    Images are read when they are asked for. targets: (C,) float32, 1 or 0, and -1 where the protocol hides a label, or
    where no metric may use one of a test image; `masked_bce` leaves those out. Where the head grows targets have every
    column from the start, and a loss takes the first ones, as many as there are logits.
    transform: image (3, S, S) uint8, as it is stored -> what a model takes; without one float32 in [0, 1].

    Raises:
        PluginError: Avalanche is not installed.
    """
    home = _home("scenario")
    found: CLScenario = home.streams(scenario, transform or home.scaled)
    return found


def __getattr__(name: str) -> Any:
    if name == "plugins":  # Avalanche's own
        return _imported("avalanche.training.plugins")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_home(_HOMES[name]), name)


def _home(module: str) -> Any:
    """A module of this folder; each of them imports Avalanche."""
    return _imported(f"{__name__}.{module}")


def _imported(module: str) -> Any:
    """Raises PluginError where Avalanche is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no QP solver found")  # which GEM alone needs
            return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "avalanche":
            raise
        raise PluginError(
            "Expected Avalanche but it is not installed; run `pip install 'clbench[avalanche]'`."
        ) from error
