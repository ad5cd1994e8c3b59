"""`clbench report`: tables from run folders."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import complete
from clbench.cli.common import Debug, Json, OneScenario, Runs, Store, store_at
from clbench.errors import StoreError, UsageError
from clbench.terminal import say


class Format(StrEnum):
    """What `--format` takes."""

    table = "table"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"
    html = "html"


def report(
    store: Store = None,
    runs: Runs = None,
    out: Annotated[Path | None, typer.Option(help="Write every format and the figures into this folder.")] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
    json: Json = False,
    scenario: OneScenario = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            autocompletion=complete.columns,
            help="Column names, comma-separated, e.g. mAP,mAP:minority,positive_angle.",
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Papers' numbers on the same axes below; says which axis differs.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute every metric again from the logits; leave out what differs.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="With --verify: which runs were run again there, and how they compare."),
    ] = None,
    matrix: Annotated[bool, typer.Option("--matrix", help="mAP on each task after each task instead.")] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say below the tables what their columns mean, as other formats do."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Print tables of mAP, F1 and forgetting, mean ± sd over seeds; or write them with figures into a folder.

    Example: clbench report --format markdown

    Example: clbench report results/runs --out results/report
    """
    from clbench.report import formats, latex, tables
    from clbench.report.folder import check_folder, write_folder
    from clbench.report.gather import gather
    from clbench.report.html import html
    from clbench.report.origin import origin, signed
    from clbench.report.published import published_tables
    from clbench.store.folder import find_runs

    if out is not None:
        check_folder(out)
    if against is not None:
        if not verify:
            raise UsageError("Expected --against with --verify, for only numbers that logits give can be compared.")
        next(find_runs(against), None)  # a folder that is not there is an error, and no lack of runs
    folder = store_at(store, runs)
    shown = (run for run in find_runs(folder, say) if scenario in (None, run.scenario))
    found = gather(shown, say, recompute=verify, against=against)
    if not found:
        which = f" of {scenario}" if scenario else ""
        raise StoreError(f"Expected runs{which} below {folder} but found none; make one with `clbench run`.")
    if published and (json or matrix or format not in (Format.table, Format.markdown)):
        raise UsageError("Expected --published with --format table or markdown alone; leave out the other.")
    names = [name.strip() for name in columns.split(",")] if columns else []
    if out is not None:
        if json or matrix or format is not Format.table:
            raise UsageError("Expected --out alone, as it writes every format; leave out --format, --json or --matrix.")
        written = write_folder(found, out, names, published_tables(found) if published else [], origin(sys.argv))
        say(f"{len(written)} files in {out}; open {written[0]}")
    elif json or format is Format.json:
        print(formats.as_json(found))
    elif format is Format.csv:
        print(formats.as_csv(found))
    elif format is Format.latex:
        print(signed(latex.latex(found, names), "tex", origin(sys.argv)))
    elif format is Format.html:
        print(html(found, names, made=origin(sys.argv)), end="")
    else:
        built = tables.matrix_tables(found) if matrix else tables.build_tables(found, names)
        if explain or format is Format.markdown:
            built = tables.with_glossary(built)
        built += published_tables(found) if published else []
        if format is Format.markdown:
            print(signed(formats.markdown(built), "md", origin(sys.argv)))
            return
        print(formats.text(built))
        if not (explain or matrix):
            say("What the columns mean: clbench report --explain")
