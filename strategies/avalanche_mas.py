"""Memory aware synapses as Avalanche has it; clbench's own is `mas`.

At a task's end a weight's importance is how much the squared length of the logits changes with it: the absolute
gradient of each *batch's* mean, averaged over the task's batches. Gradients of images cancel within a batch: a row of
it is not one of a method that takes them one by one.

Source: avalanche-lib 0.6.0 (`MASPlugin`; code read), after Aljundi, Babiloni, Elhoseiny, Rohrbach, Tuytelaars, "Memory
Aware Synapses: Learning what (not) to forget", ECCV 2018, arXiv 1711.09601 (not read here).

Matched: two tasks are Avalanche's own training with the plugin on the scenario that `clbench.to_avalanche` gives,
weights bit for bit (tests/strategies/test_avalanche.py::test_tasks_are_avalanches_own_training).

Differs: batches of the importance are larger by one or two images where one would be a single image, which batch
normalisation cannot train on. As Avalanche has it, old and new importance are averaged, `alpha` to `1 - alpha`; and the
importance is taken in training mode, so batch normalisation sees each task's images once more. A class's rows are held
from the end of its own task on.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full. `strength` has been tuned on
digits-seq alone.
"""

from dataclasses import dataclass
from itertools import count

from clbench.adapters.avalanche import AvalancheStrategy, plugins
from clbench.learning.stage import Stage
from clbench.options import option

NEEDS = {"avalanche": "clbench[avalanche]"}


@dataclass(frozen=True)
class MASOptions:
    """Options of the plugin."""

    strength: float = option(
        1.0,
        "Avalanche's lambda_reg: weight of the sum of importance * (w - w_old)^2",
        at_least=0.0,
        search=(1e-3, 1e3, "log"),
    )
    alpha: float = option(0.5, "share of the old importance in the new one", at_least=0.0, at_most=1.0)


class AvalancheMAS(AvalancheStrategy):
    """One penalty, towards the weights at the end of the last task."""

    Options = MASOptions

    def make_plugin(self) -> plugins.SupervisedPlugin:
        return plugins.MASPlugin(self.options.strength, self.options.alpha)

    def after_task(self, stage: Stage) -> None:
        """The importance from batches of which none is a single image, which batch normalisation cannot train on."""
        images = len(stage.task.train)
        sizes = count(self.train_options.batch_size)
        self.template.train_mb_size = next(size for size in sizes if images % size != 1 or size > images)
        super().after_task(stage)
