"""Which way a metric is better, and so which row stands above which."""

from collections.abc import Sequence

HIGHER = ("mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1", "average_mAP", "average_CF1", "average_OF1")
"""Metrics of which more is better. Of forgetting less is; no other metric has a best row."""


def better(column: str) -> int:
    """1 where more of a metric is better, -1 where less is, 0 where neither is."""
    name = column.partition(":")[0]
    if name.startswith("forgetting"):
        return -1
    return 1 if name in HIGHER else 0


def best_first(values: Sequence[float | None], sign: int, last: Sequence[int]) -> list[int]:
    """Places of the values, best first; equal ones stay as they are.

    sign: -1 where less is better. last: for each value its part of the table; higher ones come after, whatever the
    value. Within a part, what has no value is last.
    """
    keys = [
        (part, value is None, 0.0 if value is None else -sign * value) for part, value in zip(last, values, strict=True)
    ]
    return sorted(range(len(keys)), key=keys.__getitem__)
