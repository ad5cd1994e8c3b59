"""Riemannian walk as Avalanche has it: a moving Fisher information, and a score of each weight's part in the progress.

Each step costs a second backward pass, in evaluation and without the penalty.

Source: avalanche-lib 0.6.0 (`RWalkPlugin`; code read), after Chaudhry, Dokania, Ajanthan, Torr, "Riemannian Walk for
Incremental Learning: Understanding Forgetting and Intransigence", ECCV 2018, arXiv 1801.10112 (abstract read).

Matched: two tasks are Avalanche's own training with the plugin on the scenario that `clbench.to_avalanche` gives, with
a backbone that has no batch normalisation, weights bit for bit
(tests/strategies/test_avalanche.py::test_tasks_are_avalanches_own_training).

Differs: the model is put back into training for each step. Avalanche leaves it in evaluation, where batch normalisation
keeps its first statistics (tests/strategies/test_avalanche.py::test_avalanches_own_rwalk_leaves_evaluation_on). Fisher
information is the square of a *batch's* gradient. Weights of classes that come after the first task are never held: it
takes new parameters to count for nothing. A task needs `delta_t` steps, or its scores would be 0 and the penalty 0/0.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full. `strength` has been tuned on
digits-seq alone.
"""

from dataclasses import dataclass

from clbench.adapters.avalanche import AvalancheStrategy, plugins
from clbench.errors import UsageError
from clbench.learning.stage import Stage
from clbench.options import option

NEEDS = {"avalanche": "clbench[avalanche]"}


@dataclass(frozen=True)
class RWalkOptions:
    """Options of the plugin."""

    strength: float = option(
        0.1,
        "Avalanche's ewc_lambda: weight of the sum of (importance + score) * (w - w_old)^2, both at most 1",
        at_least=0.0,
        search=(1e-3, 1e3, "log"),
    )
    alpha: float = option(0.9, "share of a new batch in the moving Fisher information", at_least=0.0, at_most=1.0)
    delta_t: int = option(10, "steps between two updates of the scores; a task has at least so many", at_least=1)


class AvalancheRWalk(AvalancheStrategy):
    """One penalty, towards the weights at the end of the last task."""

    Options = RWalkOptions
    scenario_defaults = {
        "debug": {"strategy": {"delta_t": 1}},
        "debug-incremental": {"strategy": {"delta_t": 1}},
    }

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return plugins.RWalkPlugin(self.options.strength, self.options.alpha, self.options.delta_t)

    def before_task(self, stage: Stage) -> None:
        if stage.steps < self.options.delta_t:
            raise UsageError(
                f"Expected delta_t of at most {stage.steps}, the steps of task {stage.number + 1}, but got "
                f"{self.options.delta_t}; set a smaller one (--set delta_t={stage.steps})."
            )
        super().before_task(stage)
