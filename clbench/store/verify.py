"""Is a run folder as it was written? Needs no torch."""

from pathlib import PurePosixPath

from clbench.files import sha256
from clbench.store import shape
from clbench.store.folder import DONE, SUMS, Run

NEEDED = {"config.json", "env.json", "status.json"}
"""Files without which a folder is no run."""


def damage(run: Run) -> str | None:
    """What is wrong with a run folder; None where every file that it lists is as it was written."""
    try:
        names = listed_files(run)
        for name, expected in names.items():
            file = run.folder / name
            if file.is_symlink() or not file.is_file():
                return f"{name} is missing"
            if sha256(file) != expected:
                return f"{name} is not as the run wrote it"
    except (OSError, ValueError) as error:
        return str(error)
    missing = sorted(NEEDED - set(names))
    return f"{SUMS} does not list {', '.join(missing)}" if missing else None


def listed_files(run: Run) -> dict[str, str]:
    """File -> checksum, from SHA256SUMS.

    Raises:
        ValueError: no such list, a line that is none, or a file outside of the folder.
    """
    sums = run.folder / SUMS
    if not sums.is_file():
        raise ValueError(f"no {SUMS}: the run did not end, or is still running")
    found = {}
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, gap, name = line.partition("  ")
        path = PurePosixPath(name)
        if not gap or len(digest) != 64 or path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ValueError(f"{SUMS} has a bad line: {line[:80]!r}")
        found[name] = digest
    return found


def check(run: Run) -> None:
    """Raises StoreError unless the JSON files of a run are whole, of their shapes, and belong together."""
    metrics = run.metrics if run.state == DONE else None
    try:
        shape.agree(run.config, run.env, metrics)
    except ValueError as error:
        raise run.files.unlike("env.json", f"to belong to the run's other files but {error}") from error
