"""Joint training on all tasks at once: the upper bound.

It learns one shuffled stream of all tasks, and is evaluated once, at the end. A bound is one only if it has had the
same chance: `passes` counts passes over what the others see in their epochs, images that enter several tasks as often
as they do. With 3 it takes as many gradient images as a strategy that draws as many as are new twice at each step, as
`derpp` does; on the embedded scenarios more, until it no longer helped.

Source: none of its own; the step is that of `finetune`.

Matched: on every scenario it takes at least as many gradient images as any other strategy
(tests/strategies/test_joint.py::test_no_strategy_takes_more_gradient_images_than_the_bound), counted as they are loaded
too (tests/strategies/test_joint.py::test_counted_as_they_are_loaded).

Differs: `passes` is our rule; how long a paper trained its own bound has not been read, and a published one may have
had more.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full, so whether 3 passes are enough there
is not known.
"""

from dataclasses import dataclass

from clbench.options import option
from strategies.finetune import Finetune


@dataclass(frozen=True)
class JointOptions:
    """Options of the bound."""

    passes: int = option(
        3, "passes over the stream for each of its epochs; 3: as many gradient images as with two draws", at_least=1
    )


class Joint(Finetune):
    """One gradient step on each batch of the shuffled union of the tasks."""

    Options = JointOptions
    joint = True
    scenario_defaults = {
        "digits-seq": {"strategy": {"passes": 8}},
        "digits-b0-c4": {"strategy": {"passes": 8}},
    }

    @property
    def passes(self) -> int:
        return int(self.options.passes)

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return "joint sees all tasks at once, so a memory has nothing to add; leave --memory out" if memory else None
