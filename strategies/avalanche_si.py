"""Synaptic intelligence as Avalanche has it; clbench's own is `si`.

While a task is learned each weight adds up gradient times step; at its end that, divided by the squared way that the
weight has come, is added to its importance.

Source: avalanche-lib 0.6.0 (`SynapticIntelligencePlugin`; code read), after Zenke, Poole, Ganguli, "Continual Learning
Through Synaptic Intelligence", ICML 2017, arXiv 1703.04200 (not read here).

Matched: two tasks are Avalanche's own training with the same plugin on the scenario that `clbench.to_avalanche` gives,
weights bit for bit (tests/strategies/test_avalanche.py::test_tasks_are_avalanches_own_training). The importance is that
of a plain loop in float64, within 1e-4 of its norm
(tests/strategies/test_avalanche.py::test_si_sums_up_gradient_times_step).

Differs: copies are copies. On a CPU Avalanche's copies of the weights are the weights themselves, so its steps are 0
and so is every importance: without this repair it is `avalanche-naive` there, and on no other device
(tests/strategies/test_avalanche.py::test_avalanches_own_si_does_nothing_on_a_cpu). As Avalanche has it, an importance
is at most 0.001 and may be negative, which pushes a weight away; gradients have the penalty in them; and parameters of
batch normalisation are left out. Gradients are clipped as the run's are.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full. `strength` has been tuned on
digits-seq alone.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clbench.adapters.avalanche import AvalancheStrategy, plugins
from clbench.options import option

NEEDS = {"avalanche": "clbench[avalanche]"}


@dataclass(frozen=True)
class SIOptions:
    """Options of the plugin."""

    strength: float = option(
        1000.0,
        "Avalanche's si_lambda, lambda in lambda/2 * sum importance * (w - w_old)^2; an importance is at most 0.001",
        at_least=0.0,
        search=(10.0, 1e6, "log"),
    )


class CopyingSI(plugins.SynapticIntelligencePlugin):
    """Avalanche's, with copies of the weights where it means copies."""

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().before_training_exp(strategy, **kwargs)
        _copy(self.ewc_data[0].values())

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        super().before_training_iteration(strategy, **kwargs)
        _copy(self.syn_data["old_theta"].values())

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array_wrap__")  # it squares tensors with NumPy
            super().after_training_exp(strategy, **kwargs)


def _copy(kept: Iterable[Any]) -> None:
    for each in kept:
        each.data = each.data.clone()


class AvalancheSI(AvalancheStrategy):
    """One penalty, towards the weights at the end of the last task."""

    Options = SIOptions

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return CopyingSI(self.options.strength)
