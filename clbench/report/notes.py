"""What stands below a table: protocol, data, what differs between its rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from clbench.report.cells import EMPTY
from clbench.report.columns import INTERVAL, heading_of
from clbench.report.names import in_words
from clbench.report.remarks import class_orders, marked, unlike_papers
from clbench.report.rows import COUNTS, Row, data_notes
from clbench.report.told import told


def footnotes(rows: Sequence[Row]) -> tuple[str, ...]:
    """What a reader must know of a table: protocol, data, what differs between the rows, what is missing."""
    run = rows[0].first
    protocol = "; ".join(f"{axis}: {value}" for axis, value in run.config["protocol"].items())
    data = f"{'drawn from' if rows[0].drawn else 'manifest'} {rows[0].data[:12]}"
    return (
        "mean±sd over n seeds" if any(len(row.done) > 1 for row in rows) else "one seed: no spread",
        f"Protocol: {protocol}.",
        *class_orders(rows),
        f"Data: {'; '.join([data, *data_notes(rows)])}.",
        *unlike_papers(rows),
        *(f"{name}: {values}." for name, values in differences(rows).items()),
        *_bounds(rows),
        *_tuned(rows),
        *_recomputed(rows),
        *_again(rows),
        *marked(rows)[1],
    )


def _bounds(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows stand apart, and why."""
    names = [name for row, name in zip(rows, in_words(rows), strict=True) if row.is_bound]
    return (f"{', '.join(names)}: upper bound, all tasks learned at once; it is not ranked.",) if names else ()


def _tuned(rows: Sequence[Row]) -> tuple[str, ...]:
    """What was spent on the options of every row, where it is the same; `marked` says what differs."""
    searches = {row.tuning for row in rows}
    alike = searches.pop() if len(searches) == 1 else None
    return (f"Options of each row: the best of {alike}, by its recipe.",) if alike else ()


def _recomputed(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows somebody has computed again."""
    pairs = [(name, row.is_recomputed) for row, name in zip(rows, in_words(rows), strict=True) if row.done]
    again = [name for name, recomputed in pairs if recomputed]
    if not again:
        return ("Numbers are as the runs report them; --verify computes them again from the saved logits.",)
    others = "" if len(again) == len(pairs) else f" in {', '.join(again)}; elsewhere they are as the runs report them"
    return (f"Numbers were computed again from the saved logits{others}.",)


def _again(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows somebody has run again, and what that gave."""
    found = [f"{name} ({row.ran_again})" for row, name in zip(rows, in_words(rows), strict=True) if row.ran_again]
    return (f"Run again here: {'; '.join(found)}.",) if found else ()


def differences(rows: Sequence[Row]) -> dict[str, str]:
    """Options that are not the same in all rows and have no column: name -> `5 (joint), 1 (others)`."""
    settings: list[Mapping[str, Any]] = []
    for row in rows:
        config = row.first.config
        size = {"memory size": config["options"]["memory"]["size"]} if config["memory"] else {}
        settings.append(config["options"]["model"] | config["options"]["train"] | size)
    found = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        by_value: dict[Any, list[str]] = {}
        for called, setting in zip(in_words(rows), settings, strict=True):
            if name in setting:
                by_value.setdefault(told(setting[name]), []).append(called)
        if len(by_value) > 1:
            most = max(by_value, key=lambda value: len(by_value[value]))
            rest = [f"{value} ({', '.join(labels)})" for value, labels in by_value.items() if value != most]
            found[name] = ", ".join([*rest, f"{most} (others)"])
    return found


def not_recorded(rows: Sequence[Row], columns: Sequence[str]) -> tuple[str, ...]:
    """Why some rows have no counts."""
    named = [name for name in COUNTS if any(column.removesuffix(INTERVAL) == name for column in columns)]
    lacking = [
        name
        for row, name in zip(rows, in_words(rows), strict=True)
        if row.done and any(row.cost(count)["mean"] is None for count in named)
    ]
    headings = ", ".join(map(heading_of, named))
    return (f"{headings}: {EMPTY} where it was not counted ({', '.join(lacking)}).",) if lacking else ()
