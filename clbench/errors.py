"""What can go wrong, with the exit code that each kind of failure gives.

    ClbenchError             1  a run failed
    ├── UsageError           2  unknown name, bad option or configuration
    ├── DataError            3  data missing or damaged
    ├── PluginError          4  a scenario, strategy or memory cannot be found or breaks its contract
    └── StoreError           5  the results store cannot be read or written

Whatever else is raised is a fault of clbench or of a plugin and gives 70, and SIGINT gives 130.

A message is one sentence: what was expected, what was got, what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches

INTERNAL = 70
"""Exit code of an error that nobody foresaw: EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
"""Exit code after SIGINT, as shells have it."""


class ClbenchError(Exception):
    """The base of every error that clbench raises on purpose."""

    exit_code = 1


class UsageError(ClbenchError):
    """An unknown name, a bad option or a bad configuration."""

    exit_code = 2


class DataError(ClbenchError):
    """Data that is missing or damaged."""

    exit_code = 3


class PluginError(ClbenchError):
    """A plugin that cannot be imported or breaks its contract."""

    exit_code = 4


class StoreError(ClbenchError):
    """A results folder that cannot be read or written."""

    exit_code = 5


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """The sentence for an unknown name: the nearest known one, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    listing = ", ".join(names) if names else "none"
    return f"Unknown {kind} {name!r}{guess} Known: {listing}." + (f" {hint}" if hint else "")
