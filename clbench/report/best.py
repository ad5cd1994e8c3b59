"""Which row is best, where a test says so; elsewhere nobody is."""

from collections.abc import Sequence
from dataclasses import dataclass

from clbench.report.conclude import outcome
from clbench.report.order import better
from clbench.report.paired import seeds_needed
from clbench.report.rows import Row

BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Standing:
    """Place in the table -> `best` or `second`; the most seeds of a pair, and the number of pairs tested."""

    styles: dict[int, str]
    seeds: int
    pairs: int


def standing(rows: Sequence[Row], column: str) -> Standing | None:
    """The best row and the second best of a column; None where the column has no best, or fewer than two rows compete.

    The best differs from every other row, the second from every row but the best, by the tests of the table's
    conclusion. A second is named only where there is a best and somebody is below it.
    """
    found = outcome(rows, column) if better(column) else None
    if found is None:
        return None
    styles: dict[int, str] = {}
    for number, style in enumerate((BEST, SECOND)):
        first, *others = found.places[number:]
        if not others or any((first, other) not in found.wins for other in others):
            break
        styles[first] = style
    return Standing(styles, found.seeds[1], found.pairs)


def note(standings: Sequence[Standing | None]) -> str:
    """What the marks mean, or why there are none."""
    found = [standing for standing in standings if standing is not None]
    test = "paired permutation tests over seeds, Holm's correction over all pairs, 5 %"
    if any(standing.styles for standing in found):
        return (
            f"Bold: best; underlined: second best; only where the differences to all rows below are significant "
            f"({test}). Bounds and leaked weights do not compete."
        )
    if not found:
        return "Nothing is marked as best: fewer than two rows compete."
    most, needed = max(standing.seeds for standing in found), min(seeds_needed(standing.pairs) for standing in found)
    if most < needed:
        return (
            f"Nothing is marked as best: {most} common seeds are too few to test it, {needed} are the least ({test})."
        )
    return f"Nothing is marked as best: no row differs significantly from all others ({test})."
