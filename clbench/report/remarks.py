"""What is wrong or special with a row: every seed without a number, and all that makes its numbers hard to compare.

And with a table: where its settings are not those of the paper that the scenario is from.
"""

from collections.abc import Sequence
from string import ascii_lowercase

from clbench.report.intervals import FEWEST
from clbench.report.names import in_words
from clbench.report.rows import WHOLE, Row
from clbench.store.folder import DONE


def expected_seeds(rows: Sequence[Row]) -> list[int]:
    """The seeds that any row of a table has: what every row should have."""
    return sorted({seed for row in rows for seed in (*(run.seed for run in row.runs), *row.damaged)})


def remarks(row: Row, seeds: Sequence[int]) -> list[str]:
    """A row's remarks, one clause each; `seeds` are those that the table's other rows have."""
    found = []
    for run in row.runs:
        if run.state != DONE:
            reason = f": {run.status['reason']}" if run.status["reason"] else ""
            found.append(f"seed {run.seed}: {run.state}{reason}")
    found += [f"seed {seed}: left out, its folder is not as the run wrote it" for seed in row.damaged]
    not_run = sorted(set(seeds) - {run.seed for run in row.runs} - set(row.damaged))
    if not_run:
        found.append(f"fewer seeds: {', '.join(map(str, not_run))} not run")
    if "validation" in row.view:
        found.append(f"scored on training images that were held out ({row.view}): for choosing, no result")
    elif row.view != WHOLE:
        found.append(f"only {row.view} of the scenario was seen: no result")
    for kind, known in row.first.config.get("plugins", {}).items():
        found.append(f"{kind} from the file {known['file']}, SHA-256 {known['sha256'][:12]}")
    if trained_by := row.first.config.get("trained_by"):
        found.append(f"trained by {trained_by}, scored by clbench")
    if row.frozen:
        found.append("frozen backbone: only the head was trained")
    if row.leak:
        found.append(f"leaked weights: {row.leak.rstrip('.')}")
    return found


def class_orders(rows: Sequence[Row]) -> tuple[str, ...]:
    """The one remark on all rows of a table whose runs differ in their tasks; empty where all seeds have the same."""
    if not rows[0].drawn:
        return ()
    return (
        "Class orders: each seed draws its own, and with it its tasks. A row averages over as many orders as it has "
        "seeds; task t is the t-th of each.",
    )


def marked(rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Letters for each row (`a,b`, empty where there is nothing to say), and the footnotes that explain them."""
    seeds = expected_seeds(rows)
    said = [remarks(row, seeds) + tuning for row, tuning in zip(rows, unequal_tuning(rows), strict=True)]
    labels: dict[str, list[str]] = {}
    for name, found in zip(in_words(rows), said, strict=True):
        for remark in found:
            labels.setdefault(remark, []).append(name)
    letters = {remark: letter(number) for number, remark in enumerate(labels)}
    order = list(labels).index
    marks = tuple(",".join(letters[r] for r in sorted(found, key=order)) for found in said)
    return marks, tuple(f"[{letters[remark]}] {', '.join(names)}: {remark}." for remark, names in labels.items())


def unlike_papers(rows: Sequence[Row]) -> tuple[str, ...]:
    """A note for each paper that a table's scenario is from: the settings that are others, and in which rows.

    None where every setting is the paper's and nothing of it is missing here.
    """
    notes = []
    papers = {paper["name"]: paper for row in rows if (paper := row.first.config.get("paper"))}
    for name, paper in papers.items():
        clauses = _unlike([row for row in rows if (row.first.config.get("paper") or {}).get("name") == name])
        if paper["beyond"]:
            clauses.append(f"without {', '.join(paper['beyond'])}")
        if clauses:
            notes.append(f"Not as in {name}: {'; '.join(clauses)}.")
    return tuple(notes)


def _unlike(rows: Sequence[Row]) -> list[str]:
    """`weights=none (there: imagenet)`, with the rows where others are as in the paper."""
    labels: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, (value, theirs) in row.unlike_paper.items():
            labels.setdefault((name, f"{name.partition('.')[2]}={value} (there: {theirs})"), []).append(row.label)
    of_all = {name: sum(name in row.first.config["paper"]["settings"] for row in rows) for name, _ in labels}
    return [
        said if len(names) == of_all[name] else f"{said} in {', '.join(names)}"
        for (name, said), names in labels.items()
    ]


def unequal_tuning(rows: Sequence[Row]) -> list[list[str]]:
    """For each row what was spent on its options, where the rows of a table are not equal in it."""
    if len({row.tuning for row in rows}) < 2:
        return [[] for _ in rows]
    return [[f"options chosen in {row.tuning}" if row.tuning else "not tuned, as other rows are"] for row in rows]


def letter(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    turns, rest = divmod(number, len(ascii_lowercase))
    return (letter(turns - 1) if turns else "") + ascii_lowercase[rest]


def few_seeds(rows: Sequence[Row], intervals: bool) -> tuple[str, ...]:
    """Why some rows have no interval, in a table that has columns of them."""
    names = [name for row, name in zip(rows, in_words(rows), strict=True) if 0 < len(row.done) < FEWEST]
    if not intervals or not names:
        return ()
    return (
        f"95 %: an interval takes {FEWEST} seeds, which {', '.join(names)} {'has' if len(names) == 1 else 'have'} not.",
    )
