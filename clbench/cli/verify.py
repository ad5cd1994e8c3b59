"""`clbench verify`: is every run of a results folder as its run wrote it?"""

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.common import Debug, Json
from clbench.files import DEFAULT_OUT
from clbench.terminal import say


def verify(
    store: Annotated[Path, typer.Argument(envvar="CLBENCH_OUT", help="Folder of run folders.")] = DEFAULT_OUT,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compute every metric again from the saved logits; check checksums, configuration hashes and data manifests.

    Ends with 5, and a line for each folder that is not as its run wrote it.

    Example: clbench verify results/runs
    """
    from dataclasses import asdict

    from clbench.report.verify import verify as verdict_on
    from clbench.store.folder import find_runs

    verdicts = [verdict_on(run) for run in find_runs(store, say)]
    if json:
        print(json_.dumps({"runs": [asdict(verdict) for verdict in verdicts]}, indent=2))
    else:
        for verdict in verdicts:
            if verdict.wrong:
                print(f"{verdict.run}: {'; '.join(verdict.wrong)}")
            for note in verdict.notes:
                say(f"{verdict.run}: {note}")
    wrong, again = sum(bool(verdict.wrong) for verdict in verdicts), sum(verdict.recomputed for verdict in verdicts)
    unfinished = sum(not verdict.wrong and verdict.state != "done" for verdict in verdicts)
    say(f"{len(verdicts)} run(s): {again} recomputed, {unfinished} not done, {wrong} not as written")
    if wrong:
        raise typer.Exit(5)
