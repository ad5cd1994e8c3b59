"""Gradient episodic memory as Avalanche has it; clbench's own is `gem`.

Each step takes the gradient of every old task's stored images; one that would raise any of their losses is projected by
a quadratic programme. Its solver is `quadprog`, whose licence is the GPL (version 2 or later): clbench neither needs
nor brings it, and this strategy is there for those who have it.

Source: avalanche-lib 0.6.0 (`GEMPlugin`; code read), after Lopez-Paz, Ranzato, "Gradient Episodic Memory for
Continual Learning", NeurIPS 2017, arXiv 1706.08840 (not read here).

Matched: two tasks are Avalanche's own training with the plugin on the scenario that `clbench.to_avalanche` gives, all
images of the first one stored, within 1e-6 of each weight
(tests/strategies/test_avalanche.py::test_gem_is_avalanches_own_training).

Differs: the plugin's memory is its own and no `--memory`: some images of each finished task, drawn from a seed of their
own, with the labels that they were shown with then. A step passes all of them, so it takes far more gradient images
than `joint` is matched to (the report's `gradient_images`), and they are not counted as replayed. Where the head grows,
stored targets have every column from the start, hidden where the protocol hides them.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full. No option of its own has been
tuned; on digits-seq the learning rate was.
"""

from dataclasses import dataclass

from clbench.adapters.avalanche import AvalancheStrategy, plugins
from clbench.options import option

NEEDS = {"avalanche": "clbench[avalanche]", "quadprog": "quadprog"}


@dataclass(frozen=True)
class GEMOptions:
    """Options of the plugin."""

    patterns: int = option(50, "Avalanche's patterns_per_experience: images stored of each task", at_least=1)
    strength: float = option(
        0.5, "Avalanche's memory_strength: by how much a projected gradient favours old tasks", at_least=0.0
    )


class AvalancheGEM(AvalancheStrategy):
    """A gradient that opposes no old task's."""

    Options = GEMOptions

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return plugins.GEMPlugin(self.options.patterns, self.options.strength)
