"""`clbench report`: tables from run folders."""

from enum import StrEnum
from typing import Annotated

import typer

from clbench.cli.common import Debug, Json, Out
from clbench.errors import StoreError, UsageError
from clbench.files import DEFAULT_OUT


class Format(StrEnum):
    """What `--format` takes."""

    table = "table"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


def report(
    out: Out = DEFAULT_OUT,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
    json: Json = False,
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column names, comma-separated, e.g. mAP,mAP:minority,positive_angle.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Papers' numbers on the same axes below; says which axis differs.")
    ] = False,
    matrix: Annotated[bool, typer.Option("--matrix", help="mAP on each task after each task instead.")] = False,
    debug: Debug = False,
) -> None:
    """Print tables of mAP, F1 and forgetting, mean ± sd over seeds.

    Example: clbench report --format markdown
    """
    from clbench.records import find_runs
    from clbench.report import formats, latex, rows, tables
    from clbench.report.published import published_tables

    found = rows.collect(run for run in find_runs(out) if scenario in (None, run.scenario))
    if not found:
        which = f" of {scenario}" if scenario else ""
        raise StoreError(f"Expected runs{which} below {out} but found none; make one with `clbench run`.")
    if published and (json or matrix or format not in (Format.table, Format.markdown)):
        raise UsageError("Expected --published with --format table or markdown alone; leave out the other.")
    if json or format is Format.json:
        print(formats.as_json(found))
    elif format is Format.csv:
        print(formats.as_csv(found))
    elif format is Format.latex:
        print(latex.latex(found, [name.strip() for name in columns.split(",")] if columns else []))
    else:
        names = [name.strip() for name in columns.split(",")] if columns else []
        built = tables.matrix_tables(found) if matrix else tables.build_tables(found, names)
        built += published_tables(found) if published else []
        print(formats.text(built) if format is Format.table else formats.markdown(built))
