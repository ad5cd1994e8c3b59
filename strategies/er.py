"""Experience replay: each step learns from the new batch and from a batch drawn from a memory.

Source: Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", arXiv 1902.10486 (abstract read: joint
training on the new batch and on one from the memory, reservoir sampling). The step's details are those of PRS (Kim,
Jeong, Kim, ECCV 2020, arXiv 2009.03632; released code read): as many images are replayed as are new (10 and 10), drawn
uniformly without replacement, under one mean loss; the memory is updated after the step, so replay begins with the
second batch.

Matched: a task of it is a plain PyTorch loop over the new and the replayed images, its weights bit for bit
(tests/strategies/test_strategies.py::test_a_task_is_a_plain_pytorch_loop). New and replayed images stand under one
mean, and the first step replays nothing
(tests/strategies/test_strategies.py::test_er_steps_on_new_and_replayed_samples_under_one_mean). As many are replayed as
are new unless `replay_batch` is given
(tests/strategies/test_strategies.py::test_as_many_are_replayed_as_are_new_unless_a_number_is_given). Draws are distinct
and uniform (tests/memory/test_memory_contract.py::test_samples_are_distinct_uniform_and_leave_the_memory_alone).

Differs: multi-label targets. A replayed image has the labels that it was stored with, unless the scenario's
`replay_labels` says otherwise.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside PRS's released code, which has
this step as its reservoir baseline.
"""

from clbench.learning.strategy import Strategy


class ExperienceReplay(Strategy):
    """One gradient step on the new and the replayed samples together: what every strategy does that says no more."""

    memory_policy = "reservoir"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return None if memory else "er replays from a memory; without one it is --strategy finetune"
