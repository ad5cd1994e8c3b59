"""Elastic weight consolidation as Avalanche has it; clbench's own is `ewc`.

At a task's end Avalanche takes the square of the gradient of each *batch's* mean loss for Fisher information, and the
mean of that over the task's batches. It is no Fisher information of single images, and shrinks as batches grow: a row
of it is not one of `ewc`.

Source: avalanche-lib 0.6.0 (`EWCPlugin`, mode `separate`; code read), after Kirkpatrick et al., "Overcoming
catastrophic forgetting in neural networks", PNAS 2017, arXiv 1612.00796.

Matched: two tasks are Avalanche's own training with the plugin on the scenario that `clbench.to_avalanche` gives,
weights bit for bit (tests/strategies/test_avalanche.py::test_tasks_are_avalanches_own_training). Its importance is the
mean of squared batch gradients of a plain loop, within 1e-6 relative
(tests/strategies/test_avalanche.py::test_ewc_squares_the_gradients_of_batches).

Differs: hidden labels are left out of the loss, and so of the importance. Batches are those of the task in its order,
the last and smaller one among them. A class's rows are held from the end of its own task on. Avalanche's mode `online`
is left out: it takes parameters to keep their order, which a head that grows does not.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full. `strength` has been tuned on
digits-seq alone.
"""

from dataclasses import dataclass

from clbench.adapters.avalanche import AvalancheStrategy, plugins
from clbench.options import option

NEEDS = {"avalanche": "clbench[avalanche]"}


@dataclass(frozen=True)
class EWCOptions:
    """Options of the plugin."""

    strength: float = option(
        100.0,
        "Avalanche's ewc_lambda: weight of the sum over old tasks and weights of importance * (w - w_old)^2",
        at_least=0.0,
        search=(1.0, 1e6, "log"),
    )


class AvalancheEWC(AvalancheStrategy):
    """One penalty for each old task."""

    Options = EWCOptions

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return plugins.EWCPlugin(self.options.strength)
