"""Disentangled label features with replay: one feature per label, pooled by attention from learned label queries.

Our implementation of: Jia et al., "Learning Disentangled Label Representations for Multi-label Classification" (DLFL),
arXiv 2212.01461. It is the `dlfl` head (`clbench show dlfl` says what follows the paper and what is our choice) under
the replay step of `er`, with PRS (Kim, Jeong, Kim, ECCV 2020, arXiv 2009.03632) as the default memory; which memory the
paper used with it is not known to us.
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
