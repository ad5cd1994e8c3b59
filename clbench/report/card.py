"""One run on one screen: configuration, data, environment, metrics, state, cost."""

import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from clbench.report.cells import EMPTY, percent
from clbench.report.columns import COSTS, heading_of, scale_of
from clbench.report.formats import WIDTH, text
from clbench.report.rows import WHOLE, Row
from clbench.report.tables import Table
from clbench.report.told import told
from clbench.store.folder import DONE, Run, plugin_copy
from clbench.terminal import printable

METRICS = ("mAP", "CF1", "OF1", "CP", "CR", "OP", "OR", "average_mAP", "forgetting_mAP", "forgetting_mAP_relative")


def card(run: Run) -> str:
    """A run's card, at most 80 columns wide.

    Raises:
        StoreError: a file of the run is damaged.
    """
    row = Row((run,))
    reason = f": {run.status['reason']}" if run.status["reason"] else ""
    parts = [
        f"{run.scenario}, {row.label}, seed {run.seed}",
        _pair("state", f"{run.state}{reason} ({run.status.get('time', 'time unknown')})"),
        _pair("hash", run.config_hash),
        _pair("folder", str(run.folder)),
        *_section("Configuration", _configuration(run)),
        *(_section("Recipe", _recipe(run)) if run.config.get("recipe") else ()),
        *(_section("Plugins from files", _files(run)) if run.config.get("plugins") else ()),
        *_section("Protocol", run.config["protocol"]),
        *(_section("Not as in the paper", unlike) if (unlike := _unlike_paper(row)) else []),
        *_section("Data", _data(run)),
        *_section("Environment", _environment(run)),
    ]
    if run.state == DONE:
        parts += ["", text(_tables(row))]
    return printable("\n".join(parts))


def as_json(run: Run) -> dict[str, Any]:
    """All that the card is made of."""
    return {
        "scenario": run.scenario,
        "strategy": run.strategy,
        "config_hash": run.config_hash,
        "seed": run.seed,
        "folder": str(run.folder),
        "status": run.status,
        "config": run.config,
        "env": run.env,
        "metrics": run.metrics if run.state == DONE else None,
    }


def _configuration(run: Run) -> dict[str, str]:
    config = run.config
    view = {} if config["view"] == WHOLE else {"view": config["view"]}
    sections = {
        section: ", ".join(f"{name}={told(value)}" for name, value in options.items())
        for section, options in config["options"].items()
        if options
    }
    memory = f"{config['memory']}, {sections['memory']}" if config["memory"] else "none"
    return view | sections | {"memory": memory}


def _unlike_paper(row: Row) -> dict[str, str]:
    paper = row.first.config.get("paper")
    if not paper:
        return {}
    settings = {name: f"{value} (there: {theirs})" for name, (value, theirs) in row.unlike_paper.items()}
    return {"paper": paper["name"], **settings} | ({"not here": ", ".join(paper["beyond"])} if paper["beyond"] else {})


def _recipe(run: Run) -> dict[str, str]:
    recipe = run.config["recipe"]
    return {
        "search": f"{recipe['trials']} trials on {recipe['view']}, {recipe['seconds']:,.0f} s",
        "file": f"recipe.toml, SHA-256 {recipe['sha256'][:12]}",
        "from the recipe": ", ".join(recipe["options"]) or "nothing",
        "otherwise": ", ".join(recipe["overridden"]) or "nothing",
    }


def _files(run: Run) -> dict[str, str]:
    return {
        kind: f"{plugin_copy(kind, known['file'])}, SHA-256 {known['sha256'][:12]}"
        for kind, known in run.config["plugins"].items()
    }


def _data(run: Run) -> dict[str, str]:
    manifest = run.env["manifest"]
    size = f"{len(manifest['tasks'])} tasks, {len(manifest['classes'])} classes"
    return {"manifest": f"{manifest['hash'][:12]}, {size}"} | {
        f"note {number}": note for number, note in enumerate(manifest["notes"], start=1)
    }


def _environment(run: Run) -> dict[str, str]:
    env = run.env
    found = {}
    if env.get("git"):
        dirty = ", with uncommitted changes" if env["git"].get("dirty") else ""
        found["commit"] = f"{env['git']['commit'][:12]}{dirty}"
    if env.get("packages"):
        versions = {"python": env.get("python"), **env["packages"]}
        found["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    found |= {name: str(env[name]) for name in ("device", "gpu", "cpu", "threads", "decoder") if env.get(name)}
    if env.get("weights"):
        found["weights"] = ", ".join(f"{name} {told(value)}" for name, value in env["weights"].items() if value)
    if env.get("command"):
        found["command"] = shlex.join(map(str, told(env["command"])))
    return found


def _tables(row: Row) -> list[Table]:
    columns: list[str | None] = [None, *row.group_names]
    names = [name for name in METRICS if name in row.metric_names]
    lines = tuple((heading_of(name), *(percent(row.values(name, group)[0]) for group in columns)) for name in names)
    costs = []
    for name in (name for name in COSTS if row.cost(name)["mean"] is not None):
        scale, digits = scale_of(name)
        costs.append(f"{heading_of(name)} {scale * row.cost(name)['mean']:,.{digits}f}")
    counted = row.first.metrics["final"].get("classes", EMPTY)
    notes = (f"mAP over {counted} classes with a test positive.", f"Cost: {'; '.join(costs)}.")
    return [Table("Metrics after the last task, %", ("", "all", *row.group_names), lines, notes)]


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    return ["", title, *(_pair(name, str(value)) for name, value in values.items())]


def _pair(name: str, value: str) -> str:
    return textwrap.fill(
        f"{name}: {value}", WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
    )
