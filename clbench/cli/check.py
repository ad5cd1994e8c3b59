"""`clbench check`: the contract's test kit on anybody's plugin."""

from typing import Annotated

import typer

from clbench import plugins
from clbench.cli.common import Debug, parse_kind
from clbench.errors import PluginError, UsageError, unknown


def check(
    name: Annotated[str, typer.Argument(metavar="PLUGIN", help="A plugin's name, or the path of its file.")],
    kind: Annotated[
        str | None, typer.Option(help="strategy, scenario, memory or head, where several have the name.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Hold a plugin to its contract: one line for each check, and exit code 4 where one fails.

    Example: clbench check mine.py
    """
    found = _kind(name, kind)

    from clbench.running.stops import reason
    from clbench.testing.kit import checks

    failures = []
    for each in checks(found, name):
        try:
            each.run()
            print(f"ok      {each.what}", flush=True)
        except Exception as error:  # a plugin may raise anything
            if debug:
                raise
            sentence = (
                (str(error) or "an assertion").splitlines()[0] if isinstance(error, AssertionError) else reason(error)
            )
            failures.append(sentence)
            print(f"FAILED  {each.what}: {sentence}", flush=True)
    if failures:
        raise PluginError(
            f"Expected the {found} {name} to keep its contract but {len(failures)} check(s) failed: {failures[0]}"
        )


def _kind(name: str, kind: str | None) -> plugins.Kind:
    """The one kind of plugin that has the name. Raises UsageError and PluginError."""
    if kind is not None:
        told = parse_kind(kind)
        plugins.find(told, name)
        return told
    found: list[plugins.Kind] = []
    errors: list[UsageError | PluginError] = []
    for each in plugins.KINDS:
        try:
            plugins.find(each, name)
            found.append(each)
        except (UsageError, PluginError) as error:
            errors.append(error)
    if len(found) > 1:
        raise UsageError(
            f"Expected one plugin named {name} but there is a {' and a '.join(found)}; name one with --kind."
        )
    if found:
        return found[0]
    if plugins.is_path(name):
        nothing = PluginError(f"Expected a scenario, strategy, memory or head in {name} but found none.")
        raise next((error for error in errors if "but found none" not in str(error)), nothing)
    names = [known for each in plugins.KINDS for known in plugins.available(each)]
    raise UsageError(unknown("plugin", name, names, "See `clbench list`."))
