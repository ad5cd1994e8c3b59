"""Every format of the report at once, in one folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from clbench.errors import StoreError, UsageError
from clbench.files import write_bytes
from clbench.report import formats
from clbench.report.figures import draw
from clbench.report.html import html
from clbench.report.latex import latex
from clbench.report.origin import Origin, signed
from clbench.report.rows import Row
from clbench.report.style import png
from clbench.report.tables import Table, build_tables, by_data, with_glossary


def check_folder(out: Path) -> None:
    """Raises UsageError where the folder holds runs: who writes there meant `--runs`."""
    if os.path.isdir(out) and next(out.glob("*/*/*/seed*/status.json"), None):
        raise UsageError(
            f"Expected --out to be a folder for the report's files but {out} holds run folders; read them with --runs."
        )


def write_folder(
    rows: Sequence[Row],
    out: Path,
    columns: Sequence[str] = (),
    below: Sequence[Table] = (),
    made: Origin | None = None,
) -> list[Path]:
    """Write report.html, .md, .csv, .json, .tex and .txt, and figures/*.svg and *.png; the files in that order.

    below: tables that follow in the text and in Markdown. made: said at the top of all but csv.

    Raises:
        UsageError: an unknown column, or a folder of runs. StoreError: the folder cannot be written.
    """
    check_folder(out)
    tables = [*with_glossary(build_tables(rows, columns)), *below]
    groups = by_data(rows)
    drawn = [draw(members) for members in groups]
    content = {
        "report.html": html(rows, columns, drawn, made),
        "report.md": signed(formats.markdown(tables), "md", made) + "\n",
        "report.csv": formats.as_csv(rows) + "\n",
        "report.json": formats.as_json(rows, made.as_json() if made else None) + "\n",
        "report.tex": signed(latex(rows, columns), "tex", made) + "\n",
        "report.txt": signed(formats.text(tables), "txt", made) + "\n",
    }
    written = {name: text.encode() for name, text in content.items()}
    for number, (members, drawings) in enumerate(zip(groups, drawn, strict=True), start=1):
        for drawing in drawings:
            name = f"figures/{number}-{members[0].first.scenario}-{drawing.name}"
            written |= {f"{name}.svg": drawing.svg.encode(), f"{name}.png": png(drawing.figure)}
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for name, data in written.items():
            write_bytes(out / name, data)
    except OSError as error:
        raise StoreError(
            f"Expected to write the report to {out} but got: {error.strerror}; choose another folder with --out."
        ) from error
    return [out / name for name in written]
