"""The report as one HTML file: tables, figures and every run's record. It opens offline and asks nothing of anyone."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from typing import Any

from clbench.report.figures import Drawing, draw
from clbench.report.origin import Origin
from clbench.report.rows import Row
from clbench.report.style import INK
from clbench.report.tables import Group, Table, by_data, matrix_tables, table_groups
from clbench.report.told import told
from clbench.store.folder import Run
from clbench.terminal import printable

_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r' (?:width|height)="[\d.]+pt"')
_IMAGE_ID = re.compile(r' id="image\w+"')
"""Made of the pixels: two panels that look alike have the same. Nothing refers to it."""
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True)
class Section:
    """Rows of the same scenario, protocol and data."""

    title: str
    tables: Sequence[Table]
    glossary: Sequence[tuple[str, str]]
    figures: Sequence[Mapping[str, str]]
    matrices: Sequence[Table]
    runs: Sequence[Mapping[str, Any]]


def html(
    rows: Sequence[Row],
    columns: Sequence[str] = (),
    drawn: Sequence[Sequence[Drawing]] | None = None,
    made: Origin | None = None,
) -> str:
    """A whole page; the same rows of the same origin give the same bytes.

    drawn: the drawings of each of `by_data(rows)`, where they are there already. made: what stands at its top.

    Every text of a run is escaped, and the page's policy allows no script but its own and no request at all.

    Raises:
        UsageError: an unknown column.
    """
    from jinja2 import Environment, StrictUndefined

    page = files("clbench.report") / "page"
    source, style, script = ((page / f"report.{end}").read_text("utf-8") for end in ("html.j2", "css", "js"))
    groups = table_groups(rows, columns)
    figures = [draw(members) for members in by_data(rows)] if drawn is None else drawn
    sections = [
        _section(number, group, drawings) for number, (group, drawings) in enumerate(zip(groups, figures, strict=True))
    ]
    # A policy's hash is of exactly what stands between the tags.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(source).render(
        sections=sections,
        made=made,
        total=sum(len(row.runs) for row in rows),
        style=style,
        script=script,
        script_hash=digest,
    )
    return printable(text)


def _section(number: int, group: Group, drawings: Sequence[Drawing]) -> Section:
    rows, tables = group.rows, [built.table for built in group.tables]
    figures = [
        {"svg": inline(drawing, f"s{number}-{drawing.name}-"), "caption": drawing.caption} for drawing in drawings
    ]
    runs = [_run(row, run) for row in rows for run in row.runs]
    named = [replace(table, title=table.title.removeprefix(f"{group.title}: ")) for table in tables]
    terms = dict.fromkeys(pair for table in tables for pair in table.explained if pair[1])
    return Section(group.title, named, list(terms), figures, matrix_tables(rows), runs)


def inline(drawing: Drawing, prefix: str) -> str:
    """An SVG to stand in a page: in the page's own ink, and with names that no other figure there has."""
    document = drawing.svg
    body = _IMAGE_ID.sub("", _METADATA.sub("", document[document.index("<svg") :])).replace(INK, "currentColor")
    opening, _, rest = body.partition(">")
    return _REFERENCE.sub(
        rf"\g<1>{prefix}", _SIZE.sub("", opening) + f' role="img" aria-label="{escape(drawing.caption)}">' + rest
    )


def _run(row: Row, run: Run) -> dict[str, Any]:
    return {
        "label": row.label,
        "seed": run.seed,
        "state": run.state,
        "reason": run.status["reason"],
        "id": f"{run.config_hash}/seed{run.seed}",
        "config": json.dumps(told(run.config), indent=1, ensure_ascii=False),
        "env": json.dumps(told(run.env), indent=1, ensure_ascii=False),
    }
