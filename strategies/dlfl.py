"""Disentangled label features with replay: one feature per label, pooled by attention from learned label queries.

The `dlfl` head under the replay step of `er`, with PRS as the default memory; `clbench show dlfl` tells of the head
too.

Source: Jia et al., "Learning Disentangled Label Representations for Multi-label Classification" (DLFL), arXiv
2212.01461 (abstract read, and a reader's note on their earlier DAFL; see the head). Memory: PRS (Kim, Jeong, Kim, ECCV
2020, arXiv 2009.03632; released code read).

Matched: it is `er` with this head, its weights bit for bit
(tests/strategies/test_strategies.py::test_dlfl_is_er_with_its_head). The step and the head name their own checks.

Differs: no reproduction. Which memory, optimiser and schedule the paper used on COCOseq and NUS-WIDEseq is not known to
us; ours are PRS's.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside any code of the authors, of
whom none was found. None of the paper's tables could be read, so no number has been compared.
"""

from strategies.er import ExperienceReplay


class DLFL(ExperienceReplay):
    """`er` with the `dlfl` head."""

    head = "dlfl"
    memory_policy = "prs"

    @classmethod
    def incompatible(cls, *, scenario: str, head: str, memory: str | None) -> str | None:
        if head != "dlfl":
            return f"dlfl is the dlfl head with replay; with --head {head} it is --strategy er"
        return None if memory else "dlfl replays from a memory; without one it is --strategy finetune --head dlfl"
