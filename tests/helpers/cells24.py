"""24 small runs, as a file of a sweep and as specifications, and the bits that they leave."""

import hashlib
import tomllib
from pathlib import Path

from clbench.launch.spec import Spec
from clbench.store.folder import find_runs, run_name

TABLE = """
scenario = "debug"
device = "cpu"
seed = "0..3"

[set]
epochs = 40

[[cells]]
strategy = ["finetune", "ewc", "lwf"]

[[cells]]
strategy = "er"
memory = ["reservoir", "prs"]

[[cells]]
strategy = "dlfl"
memory = "reservoir"
"""
CELLS = 24
METHODS = (("finetune", None), ("ewc", None), ("lwf", None), ("er", "reservoir"), ("er", "prs"), ("dlfl", "reservoir"))


def specs(out: Path) -> list[Spec]:
    """The runs of `TABLE`."""
    settings = tomllib.loads(TABLE)["set"]
    return [
        Spec("debug", strategy, memory, settings=settings, seed=seed, out=out)
        for strategy, memory in METHODS
        for seed in range(4)
    ]


def bits(out: Path) -> dict[str, str]:
    """Run -> hash of its logits and its steps; every run is done."""
    found = {}
    for run in find_runs(out):
        assert run.state == "done", run.folder
        files = [run.folder / "events.jsonl", *sorted((run.folder / "logits").iterdir())]
        found[run_name(run)] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return found
