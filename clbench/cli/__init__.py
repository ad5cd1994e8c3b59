"""The command line: one module for each verb. It parses, calls and prints; verbs that need torch import it late."""

import os
import sys
import traceback
from io import TextIOWrapper

import typer

from clbench import plugins
from clbench.cli import (
    check,
    cite,
    common,
    compare,
    data,
    doctor,
    export,
    inspect,
    new,
    pack,
    plan,
    report,
    rerun,
    resume,
    run,
    runs,
    status,
    sweep,
    tune,
    verify,
)
from clbench.cli.failing import heard_enough, unforeseen
from clbench.cli.usage import Verbs
from clbench.errors import INTERRUPTED, ClbenchError, UsageError
from clbench.learning.world import world
from clbench.terminal import hush, say

app = typer.Typer(
    name="clbench",
    cls=Verbs,
    help="Benchmark suite for continual multi-label image classification.",
    epilog="Exit codes: 0 ok, 1 a run failed, 2 usage or configuration, 3 data missing or damaged, 4 plugin, "
    "5 results store, 70 a fault of clbench or of a plugin, 75 out of time but resumable, 130 and 143 stopped by a "
    "signal.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("run")(run.run)
app.command("resume")(resume.resume)
app.command("rerun")(rerun.rerun)
app.command("sweep")(sweep.sweep)
app.command("plan")(plan.plan)
app.command("status")(status.status)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("cite")(cite.cite)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.command("verify")(verify.verify)
app.command("pack")(pack.pack)
app.command("merge")(runs.merge)
app.command("list")(inspect.list_plugins)
app.command("show")(inspect.show)
app.command("new")(new.new)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)


SHARED = ("run", "resume")
"""Verbs that several processes, started by torchrun, do together."""


@app.callback()
def clbench(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=common.print_version, is_eager=True),
) -> None:
    """Benchmark suite for continual multi-label image classification."""
    if world().size > 1 and context.invoked_subcommand not in SHARED:
        raise UsageError(
            f"Expected clbench {context.invoked_subcommand} in one process but torchrun started {world().size}; they "
            "share `clbench run` and `clbench resume` alone."
        )
    plugins.read_anew()


def main() -> None:
    """Run the command line; whatever it raises becomes one sentence and its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # bytes of a name that is no text are written out
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(common.Flags())
        sys.stdout.flush()
    except BrokenPipeError:
        heard_enough()
        code = 0
    sys.exit(code)


def _exit_code(flags: common.Flags) -> int | str | None:
    try:
        if world().size > 1:
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or each lost connection is told with its C++ frames
        if world().rank:
            hush()
        app(obj=flags)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer's answer to it is 1
            raise stop.__context__ from None
        return stop.code
    except ClbenchError as error:
        if flags.debug:
            traceback.print_exc()
        else:
            say(f"clbench: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return unforeseen(error, flags.debug)
    return 0
