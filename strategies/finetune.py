"""Plain training on the stream, with nothing against forgetting: the lower bound.

Source: none of its own; the step is that of PRS (Kim, Jeong, Kim, ECCV 2020, arXiv 2009.03632; released code read):
Adam on the mean binary cross-entropy of all columns, gradients clipped by value.

Matched: a task of it is a plain PyTorch loop, its weights bit for bit
(tests/strategies/test_strategies.py::test_a_task_is_a_plain_pytorch_loop). The loss is PyTorch's
MultiLabelSoftMarginLoss, which PRS trains with, within 1e-6
(tests/models/test_losses.py::test_bce_is_the_multi_label_soft_margin_loss).

Differs: nothing is known to; a scenario's options say where its training is not the paper's.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside PRS's released code, which has
no such baseline.
"""

from clbench.learning.strategy import Strategy


class Finetune(Strategy):
    """One gradient step on each batch."""

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        return "finetune has no memory; use --strategy er to replay from one" if memory else None
