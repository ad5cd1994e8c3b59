"""The command line: one module for each verb. It parses, calls and prints; verbs that need torch import it late."""

import sys
import traceback

import typer

from clbench import plugins
from clbench.cli import check, common, compare, data, doctor, export, inspect, new, report, resume, run, runs, tune
from clbench.errors import ClbenchError
from clbench.terminal import say

app = typer.Typer(
    name="clbench",
    help="Benchmark suite for continual multi-label image classification.",
    epilog="Exit codes: 0 ok, 1 a run failed, 2 usage or configuration, 3 data missing or damaged, 4 plugin, "
    "5 results store, 75 out of time but resumable, 130 and 143 stopped by a signal.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("resume")(resume.resume)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.command("merge")(runs.merge)
app.command("list")(inspect.list_plugins)
app.command("show")(inspect.show)
app.command("new")(new.new)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)


@app.callback()
def clbench(version: bool = typer.Option(False, "--version", callback=common.print_version, is_eager=True)) -> None:
    """Benchmark suite for continual multi-label image classification."""
    plugins.read_anew()


def main() -> None:
    """Run the command line; an error that clbench raises on purpose becomes one sentence and its exit code."""
    flags = common.Flags()
    try:
        app(obj=flags)
    except ClbenchError as error:
        if flags.debug:
            traceback.print_exc()
        else:
            say(f"clbench: {error}")
        sys.exit(error.exit_code)
