"""Avalanche's plain training in clbench's loop: the same as `finetune`, which shows that the loop changes nothing.

Source: none of its own; `SupervisedTemplate` of avalanche-lib 0.6.0 (github.com/ContinualAI/avalanche; code read) runs
each step, without a plugin.

Matched: weights, optimiser, counts and losses are those of `finetune` bit for bit, where the head grows and labels are
hidden too (tests/strategies/test_avalanche.py::test_naive_is_finetune), and with a memory those of `er`
(tests/strategies/test_avalanche.py::test_naive_with_a_memory_is_er). A task is Avalanche's own training on the scenario
that `clbench.to_avalanche` gives, its weights bit for bit
(tests/strategies/test_avalanche.py::test_a_task_is_avalanches_own_training).

Differs: nothing is known to.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full.
"""

from clbench.adapters.avalanche import AvalancheStrategy, plugins

NEEDS = {"avalanche": "clbench[avalanche]"}


class AvalancheNaive(AvalancheStrategy):
    """A plugin that does nothing."""

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return plugins.SupervisedPlugin()
