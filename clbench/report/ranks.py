"""Mean ranks, over the block of seeds that every ranked row has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clbench.report.rows import Row


@dataclass(frozen=True)
class Ranks:
    """Mean rank of each row, None where it has none, and the seeds of the complete block behind them."""

    of: str
    means: tuple[float | None, ...]
    seeds: tuple[int, ...]

    @property
    def note(self) -> str:
        """The block's size in words."""
        ranked = sum(mean is not None for mean in self.means)
        if not ranked:
            return "rank: none; no seed is done by every continual strategy here."
        block = f"{ranked} rows x {len(self.seeds)} seeds ({', '.join(map(str, self.seeds))})"
        return f"rank: of {self.of}, 1 is best; mean over the complete block of {block}."


def contenders(rows: Sequence[Row]) -> list[Row]:
    """Rows that compete: done for some seed, not the upper bound, and not from weights that saw the data before."""
    return [row for row in rows if row.done and not row.is_bound and not row.leak]


def mean_ranks(rows: Sequence[Row], group: str | None = None) -> Ranks:
    """Ranks by mAP (1 is best, ties share their mean) within each seed, averaged over the common seeds.

    A seed that some contender lacks is left out for all of them: nobody's rank rests on fewer opponents.
    """
    name = f"mAP:{group}" if group else "mAP"
    values = {id(row): row.by_seed("mAP", group) for row in contenders(rows)}
    common = set.intersection(*(set(found) for found in values.values())) if values else set()
    seeds = tuple(sorted(seed for seed in common if all(np.isfinite(found[seed]) for found in values.values())))
    if not seeds:
        return Ranks(name, (None,) * len(rows), ())
    block = np.array([[found[seed] for seed in seeds] for found in values.values()])
    above = (block[None] > block[:, None]).sum(axis=1)
    equal = (block[None] == block[:, None]).sum(axis=1)
    ranks = dict(zip(values, (above + (equal + 1) / 2).mean(axis=1).tolist(), strict=True))
    return Ranks(name, tuple(ranks.get(id(row)) for row in rows), seeds)
