"""The reference tables of the embedded scenarios: makes them again, and says which are older than the code.

    python bench/reference_tables.py [--scenario NAME] [--seed 0..2] [--limit N] [--runs DIR] [--out DIR]

`make results` runs it as it is: every strategy of TABLES on three seeds, from scratch, on the CPU, one process for each
seed and as many at once as there are cores. `results/<scenario>.md` and `.csv` are written when every run is done.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clbench.cli.common import parse_seeds
from clbench.files import DEFAULT_OUT, write_bytes
from clbench.report import formats
from clbench.report.rows import Row, collect
from clbench.report.tables import Table, build_tables
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.store.folder import Run, find_runs

TABLES = {
    "digits-seq": ("finetune", "er", "ewc", "lwf", "dlfl", "joint"),
    "digits-b0-c4": ("finetune", "er", "joint"),  # tasks overlap: each has more images, so fewer strategies
}
"""Scenario -> strategies, each with its defaults."""
COLUMNS = "mAP,mAP:majority,mAP:moderate,mAP:minority,average_mAP,CF1,OF1,forgetting_mAP,forgetting_mAP_relative"
IN_README = "digits-seq"
MARKDOWN_TABLE = re.compile(r"^(?:By [^\n]+\n\n)?\| strategy .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
"""With the sentence above it that says what can be concluded."""


def config_hashes(scenario: str, strategies: Sequence[str], limit: int | None = None) -> dict[str, str]:
    """Strategy -> the hash of its configuration and data as the code has them today."""
    configs = {
        name: resolve(scenario, name, view="all" if limit is None else f"limited:{limit}") for name in strategies
    }
    built = build_scenario(configs[strategies[0]])
    return {name: Prepared(config, built).config_hash for name, config in configs.items()}


def outdated(scenario: str, strategies: Sequence[str], folder: Path) -> list[str]:
    """A sentence for each row that the code of today would not make; none where the tables are up to date."""
    files = {kind: folder / f"{scenario}.{kind}" for kind in ("csv", "md")}
    for file in files.values():
        if not file.is_file():
            return [f"Expected {_shown(file)} but there is none; make it with `make results`."]
    with open(files["csv"], encoding="utf-8", newline="") as lines:
        recorded = {str(line.get("strategy")): str(line.get("config_hash")) for line in csv.DictReader(lines)}
    text = files["md"].read_text(encoding="utf-8")
    today = config_hashes(scenario, strategies)
    found = []
    for name in sorted(today.keys() | recorded.keys()):
        made, now = recorded.get(name, "not there"), today.get(name, "not there")
        if made != now:
            found.append(_sentence(files["csv"], name, now, made))
        elif made not in text:
            found.append(_sentence(files["md"], name, now, "another"))
    return found


def _sentence(file: Path, strategy: str, now: str, made: str) -> str:
    return (
        f"Expected the configuration of {strategy} in {_shown(file)} to be {now} but it is {made}; run `make results`."
    )


def _shown(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def run_seed(scenario: str, seed: int, limit: int | None, runs: Path) -> int:
    """Run every strategy with one seed, in a process of its own; its exit code."""
    command = [*run_command(scenario, str(seed), limit), "--rerun", "--out", str(runs)]
    return subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL).returncode


def run_command(scenario: str, seeds: str, limit: int | None) -> list[str]:
    """The command line that makes a table's runs."""
    command = ["clbench", "run", "--scenario", scenario, "--strategy", ",".join(TABLES[scenario]), "--seed", seeds]
    return [*command, *([] if limit is None else ["--limit", str(limit)]), "--device", "cpu"]


def write_tables(scenario: str, seeds: str, limit: int | None, runs: Path, out: Path) -> None:
    """Write `<scenario>.md` and `.csv` from the runs of today's configurations."""
    hashes, numbers = config_hashes(scenario, TABLES[scenario], limit), parse_seeds(seeds)
    found = [
        run
        for run in find_runs(runs)
        if run.scenario == scenario and run.config_hash == hashes.get(run.strategy) and run.seed in numbers
    ]
    rows = collect(found)
    configurations = Table(
        "Configurations", ("strategy", "config hash"), tuple((row.label, row.first.config_hash) for row in rows)
    )
    text = "\n".join(
        [
            f"# {scenario}\n",
            f"Made by `make results` {provenance(found)}:\n",
            "```",
            " ".join(run_command(scenario, seeds, limit)),
            f"clbench report --scenario {scenario} --columns {columns(rows)}",
            "```\n",
            formats.markdown([*build_tables(rows, columns(rows).split(",")), configurations]),
        ]
    )
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / f"{scenario}.md", f"{text}\n".encode())
    write_bytes(out / f"{scenario}.csv", f"{formats.as_csv(rows)}\n".encode())


def columns(rows: Sequence[Row]) -> str:
    """Those of COLUMNS that the scenario has: not all know groups of frequency."""
    groups = rows[0].first.env["manifest"]["groups"]
    return ",".join(name for name in COLUMNS.split(",") if ":" not in name or name.partition(":")[2] in groups)


def provenance(runs: Sequence[Run]) -> str:
    """Commit, machine, versions and time of the runs, as their folders tell them."""
    states = [run.env["git"] for run in runs]
    commits = sorted({"no checkout" if state is None else f"commit `{state['commit'][:12]}`" for state in states})
    dirty = " with uncommitted changes" if any(state and state["dirty"] for state in states) else ""
    machines = sorted({f"{run.env['cpu']}, torch {run.env['packages']['torch']}" for run in runs})
    costs = [run.metrics["cost"] for run in runs]
    minutes = sum(sum(cost["train_seconds"]) + sum(cost["eval_seconds"]) for cost in costs) / 60
    return f"at {', '.join(commits)}{dirty} ({'; '.join(machines)}; {minutes:.1f} minutes of one core) with"


def put_into_readme(readme: Path, table: Path) -> None:
    """Set the README's table of results, and the sentence above it, to those in the file."""
    new, text = first_table(table), readme.read_text(encoding="utf-8")
    write_bytes(readme, text.replace(first_table(readme), new, 1).encode())


def first_table(file: Path) -> str:
    """The first Markdown table with a row for each strategy, and what is concluded from it."""
    found = MARKDOWN_TABLE.search(file.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"Expected a table of strategies in {_shown(file)} but found none; put it back.")
    return found[0]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", choices=TABLES, action="append", help="only this one; repeatable")
    parser.add_argument("--seed", default="0..2")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--runs", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, help=f"set the table of {IN_README} in this file, too")
    given = parser.parse_args(arguments)
    scenarios = given.scenario or list(TABLES)
    cells = [(scenario, seed) for scenario in scenarios for seed in parse_seeds(given.seed)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda cell: run_seed(cell[0], cell[1], given.limit, given.runs), cells))
    failed = [f"{scenario} seed {seed}" for (scenario, seed), code in zip(cells, codes, strict=True) if code]
    if failed:
        sys.exit(f"Expected every run to be done but {', '.join(failed)} ended early; no table was written.")
    for scenario in scenarios:
        write_tables(scenario, given.seed, given.limit, given.runs, given.out)
        print(f"{given.out / scenario}.md", file=sys.stderr)
    if given.readme and IN_README in scenarios:
        put_into_readme(given.readme, given.out / f"{IN_README}.md")


if __name__ == "__main__":
    main()
