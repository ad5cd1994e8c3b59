"""How much sooner a sweep is done by worker processes than by one process: the ratio of wall times, with equal bits.

    python bench/launching.py [--file FILE] [--jobs 2] [--repeats 3] [-- OPTION …]

FILE is what `clbench sweep` takes, by default the one of `make demo`; what stands behind -- goes to both: --limit 10.
Each sweep starts in an empty results folder and its time is that of the whole command. Serial and parallel take turns.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from clbench.report import formats
from clbench.report.tables import Table
from clbench.store.folder import find_runs, run_name

DEMO = Path(__file__).parent / "demo.toml"


def bits(out: Path) -> dict[str, str]:
    """Run -> hash of its logits and of every step's numbers."""
    found = {}
    for run in find_runs(out):
        files = [run.folder / "events.jsonl", *sorted((run.folder / "logits").iterdir())]
        found[run_name(run)] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return found


def seconds(file: Path, out: Path, options: Sequence[str]) -> float:
    """A sweep's wall time."""
    command = [sys.executable, "-m", "clbench", "sweep", str(file), "--out", str(out), "--device", "cpu", *options]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def compare(file: Path, jobs: int, repeats: int, options: Sequence[str]) -> Table:
    """Both ways, several times. Exits where their bits differ."""
    ways = {"serial": ["--launcher", "serial"], "local": ["--launcher", "local", "--jobs", str(jobs)]}
    times: dict[str, list[float]] = {name: [] for name in ways}
    expected: dict[str, str] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                times[name].append(seconds(file, Path(folder), [*way, *options]))
                got = bits(Path(folder))
            expected = expected or got
            if got != expected:
                sys.exit(f"Expected equal bits but those of {name} differ from the first sweep's.")
    medians = {name: statistics.median(each) for name, each in times.items()}
    rows = [(name, f"{medians[name]:.1f}", f"{medians[name] / medians['serial']:.2f}") for name in ways]
    title = f"{len(expected)} runs, {jobs} workers, median of {repeats}; bits are equal"
    return Table(title, ("launcher", "seconds", "to serial"), tuple(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, default=DEMO)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("options", nargs="*", help="behind --: of both sweeps")
    given = parser.parse_args(arguments)
    print(formats.text([compare(given.file, given.jobs, given.repeats, given.options)]))


if __name__ == "__main__":
    main()
