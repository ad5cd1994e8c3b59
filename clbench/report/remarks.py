"""What is wrong or special with a row: every seed without a number, and all that makes its numbers hard to compare."""

from collections.abc import Sequence
from string import ascii_lowercase

from clbench.report.names import in_words
from clbench.report.rows import WHOLE, Row
from clbench.store.folder import DONE


def expected_seeds(rows: Sequence[Row]) -> list[int]:
    """The seeds that any row of a table has: what every row should have."""
    return sorted({run.seed for row in rows for run in row.runs})


def remarks(row: Row, seeds: Sequence[int]) -> list[str]:
    """A row's remarks, one clause each; `seeds` are those that the table's other rows have."""
    found = []
    for run in row.runs:
        if run.state != DONE:
            reason = f": {run.status['reason']}" if run.status["reason"] else ""
            found.append(f"seed {run.seed}: {run.state}{reason}")
    not_run = sorted(set(seeds) - {run.seed for run in row.runs})
    if not_run:
        found.append(f"fewer seeds: {', '.join(map(str, not_run))} not run")
    if "validation" in row.view:
        found.append(f"scored on training images that were held out ({row.view}): for choosing, no result")
    elif row.view != WHOLE:
        found.append(f"only {row.view} of the scenario was seen: no result")
    if row.frozen:
        found.append("frozen backbone: only the head was trained")
    if row.leak:
        found.append(f"leaked weights: {row.leak.rstrip('.')}")
    return found


def marked(rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Letters for each row (`a,b`, empty where there is nothing to say), and the footnotes that explain them."""
    seeds = expected_seeds(rows)
    labels: dict[str, list[str]] = {}
    for row, name in zip(rows, in_words(rows), strict=True):
        for remark in remarks(row, seeds):
            labels.setdefault(remark, []).append(name)
    letters = {remark: letter(number) for number, remark in enumerate(labels)}
    order = list(labels).index
    marks = tuple(",".join(letters[r] for r in sorted(remarks(row, seeds), key=order)) for row in rows)
    return marks, tuple(f"[{letters[remark]}] {', '.join(names)}: {remark}." for remark, names in labels.items())


def letter(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    turns, rest = divmod(number, len(ascii_lowercase))
    return (letter(turns - 1) if turns else "") + ascii_lowercase[rest]
