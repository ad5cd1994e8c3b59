"""When, with what and by which command a report was made."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clbench import __version__
from clbench.checkout import git_state
from clbench.errors import UsageError

CLOCK = "SOURCE_DATE_EPOCH"
"""Seconds since 1970 that stand for now, so that a report can be made again to the same bytes
(https://reproducible-builds.org/docs/source-date-epoch/)."""


@dataclass(frozen=True)
class Origin:
    """date: `2026-01-31 12:00 UTC`. version, commit: of clbench; no commit outside a checkout. command: as typed."""

    date: str
    version: str
    commit: str | None
    command: str

    @property
    def sentence(self) -> str:
        """All of it on one line, without characters that a terminal or an editor would act on."""
        commit = f", commit {self.commit}" if self.commit else ""
        said = f"Made {self.date} with clbench {self.version}{commit}, by: {self.command}"
        return "".join(character if character.isprintable() else " " for character in said)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def origin(command: Sequence[str]) -> Origin:
    """Of a report that this process makes now. command: as `sys.argv`.

    Raises:
        UsageError: the environment's SOURCE_DATE_EPOCH is no number of seconds.
    """
    state = git_state(Path(__file__).parent)
    commit = f"{state['commit'][:12]}{' with uncommitted changes' if state['dirty'] else ''}" if state else None
    program, *rest = command
    name = "python -m clbench" if Path(program).name == "__main__.py" else shlex.quote(Path(program).name)
    return Origin(_now(), __version__, commit, " ".join([name, *map(shlex.quote, rest)]))


def signed(text: str, ending: str, made: Origin | None) -> str:
    """A file's text below the sentence, as a comment where the format has one; csv, where a line is a row, as it is.

    ending: `md`, `tex`, `txt` or `csv`.
    """
    if made is None or ending == "csv":
        return text
    said = made.sentence
    first = {"md": f"<!-- {said.replace('-->', '-- >')} -->\n", "tex": f"% {said}", "txt": f"{said}\n"}[ending]
    return f"{first}\n{text}"


def _now() -> str:
    fixed = os.environ.get(CLOCK)
    try:
        now = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"Expected {CLOCK} to be seconds since 1970 but got {fixed!r}; correct or unset it."
        ) from error
    return f"{now:%Y-%m-%d %H:%M} UTC"
