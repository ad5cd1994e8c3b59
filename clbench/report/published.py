"""Numbers from papers, beside our runs only where every stated axis of the protocol agrees.

`published.csv` holds one number on each line: method, scenario, the axes that the source states, metric (a column's
name), value and standard deviation in percent as printed, the source where it was read, and a flag: `ok`, or why to be
careful.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.errors import DataError
from clbench.report.cells import EMPTY
from clbench.report.columns import heading_of
from clbench.report.names import in_words
from clbench.report.remarks import letter
from clbench.report.rows import Row
from clbench.report.tables import Table, by_data

FILE = Path(__file__).with_name("published.csv")
AXES = ("images", "missing", "replay_labels", "eval_images", "backbone", "image_size", "buffer", "threshold")
"""What may differ between two numbers of one scenario; an axis that a line leaves empty is not stated by its source."""
FIELDS = ("method", "scenario", *AXES, "metric", "value", "sd", "source", "flag")
OK = "ok"


@dataclass(frozen=True, eq=False)
class Published:
    """One number. axes: those that are stated; value, sd: percent; sd: over the source's seeds, None: not read."""

    method: str
    scenario: str
    axes: Mapping[str, str]
    metric: str
    value: float
    source: str
    flag: str
    sd: float | None = None

    @property
    def label(self) -> str:
        """Method and buffer: `KRT-R (buffer 20/class)`."""
        buffer = self.axes.get("buffer", "0")
        return self.method if buffer == "0" else f"{self.method} (buffer {buffer})"

    @property
    def cell(self) -> str:
        return f"{self.value:.1f}" + ("" if self.sd is None else f"±{self.sd:.1f}")


def load(file: Path = FILE) -> list[Published]:
    """Every number of the file.

    Raises:
        DataError: a file with other columns, an empty cell that must not be, or a value that is no number.
    """
    with open(file, encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise DataError(f"Expected the columns {','.join(FIELDS)} in {file} but got {reader.fieldnames}.")
        return [_entry(line, file, number) for number, line in enumerate(reader, start=2)]


def published_tables(rows: Sequence[Row], entries: Sequence[Published] | None = None) -> list[Table]:
    """For each table of ours the published numbers on the same axes, and which axis differs for the others."""
    known = load() if entries is None else entries
    return [
        _beside(members, [e for e in known if e.scenario == members[0].first.scenario]) for members in by_data(rows)
    ]


def differing_axes(entry: Published, row: Row) -> dict[str, tuple[str, str]]:
    """Stated axis -> (published, ours) where they differ."""
    ours = run_axes(row)
    return {axis: (value, ours[axis]) for axis, value in entry.axes.items() if not _same(value, ours[axis])}


def run_axes(row: Row) -> dict[str, str]:
    """Our run's value on each axis; `not stated` where the run folder has none."""
    config = row.first.config
    options, protocol = config["options"], config["protocol"]
    found: dict[str, Any] = {axis: protocol.get(axis) for axis in AXES}
    found["backbone"] = options["model"].get("backbone")
    size = options.get("scenario", {}).get("image_size") or str(protocol.get("image size", "")).partition(" ")[0]
    found["image_size"] = size or None
    found["buffer"] = options["memory"]["size"] if config["memory"] else 0
    return {axis: "not stated" if value is None else str(value) for axis, value in found.items()}


def _beside(rows: Sequence[Row], entries: Sequence[Published]) -> Table:
    scenario = rows[0].first.scenario
    agreeing: dict[Published, list[str]] = {}
    refused: dict[str, dict[str, None]] = {}
    for entry in entries:
        differences = [differing_axes(entry, row) for row in rows]
        same = [name for name, found in zip(in_words(rows), differences, strict=True) if not found]
        if same:
            agreeing[entry] = same
        else:
            refused.setdefault(_sentence(min(differences, key=len)), {})[entry.label] = None
    metrics = list(dict.fromkeys(entry.metric for entry in agreeing))
    cells, marks, notes = _lines(agreeing, metrics)
    if not entries:
        notes.append(f"No published number of {scenario} has been read; results/README.md says how to add one.")
    for sentence, labels in refused.items():
        notes.append(f"Not comparable, {sentence}: {', '.join(labels)}.")
    headings = ("published", *(heading_of(name) for name in metrics))
    return Table(f"{scenario}: published numbers on the same axes, %", headings, cells, tuple(notes), marks)


def _lines(
    agreeing: Mapping[Published, Sequence[str]], metrics: Sequence[str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...], list[str]]:
    """Cells, marks and notes: one line for each method, with letters for its sources and flags."""
    values: dict[str, dict[str, str]] = {}
    remarks: dict[str, dict[str, None]] = {}
    letters: dict[str, str] = {}
    for entry, same in agreeing.items():
        values.setdefault(entry.label, {})[entry.metric] = entry.cell
        texts = [f"{entry.source}; on the axes of {', '.join(same)}."]
        texts += [f"{entry.metric}: {entry.flag}."] if entry.flag != OK else []
        for text in texts:
            letters.setdefault(text, letter(len(letters)))
            remarks.setdefault(entry.label, {})[letters[text]] = None
    cells = tuple((label, *(line.get(name, EMPTY) for name in metrics)) for label, line in values.items())
    marks = tuple(",".join(remarks[label]) for label in values)
    notes = [f"[{mark}] {text}" for text, mark in letters.items()]
    return cells or (("none",),), marks, notes


def _sentence(differences: Mapping[str, tuple[str, str]]) -> str:
    return "; ".join(f"{axis} {theirs} against {ours}" for axis, (theirs, ours) in differences.items())


def _same(published: str, ours: str) -> bool:
    """Whether two values of an axis are the same; ours may be followed by a remark in brackets."""
    plain = ours.partition(" (")[0]
    try:
        return float(published) == float(plain)
    except ValueError:
        return published == plain


def _entry(line: Mapping[str, str], file: Path, number: int) -> Published:
    needed = ("method", "scenario", "metric", "source", "flag")
    empty = [name for name in needed if not (line[name] or "").strip()]
    try:
        if empty or None in line.values() or None in line:
            raise ValueError(f"nothing in {', '.join(empty) or 'a column'}")
        axes = {axis: line[axis] for axis in AXES if line[axis]}
        texts = {name: line[name] for name in needed}
        return Published(**texts, axes=axes, value=float(line["value"]), sd=float(line["sd"]) if line["sd"] else None)
    except ValueError as error:
        raise DataError(f"Expected a published number on line {number} of {file} but got: {error}.") from error
