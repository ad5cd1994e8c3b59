"""`clbench verify`: is every run of a results folder, or of an archive, as its run wrote it?"""

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli.common import Debug, Json
from clbench.errors import StoreError
from clbench.files import DEFAULT_OUT
from clbench.terminal import say

if TYPE_CHECKING:
    from clbench.report.again import Again
    from clbench.report.verify import Verdict

Checked = tuple["Verdict", "Again | None"]
"""What there is to say of a run, and of its second execution if there is one."""


def verify(
    store: Annotated[
        Path, typer.Argument(envvar="CLBENCH_OUT", help="Folder of run folders, or an archive of `clbench pack`.")
    ] = DEFAULT_OUT,
    against: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Results folder with a second execution of some runs, to compare with."),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compute every metric again from the saved logits; check checksums, configuration hashes and data manifests.

    Ends with 5, and a line for each folder that is not as its run wrote it. With --against also a line for each run
    that was run again: with the same bits, or how far from them.

    Example: clbench verify results/runs

    Example: clbench verify theirs.zip --against results/runs
    """
    from dataclasses import asdict

    from clbench.store.archive import opened

    with opened(store) as folder:
        checked = _checked(folder, store, against)
    if json:
        second = [{"again": again and asdict(again)} if against else {} for _, again in checked]
        runs = [asdict(verdict) | more for (verdict, _), more in zip(checked, second, strict=True)]
        print(json_.dumps({"runs": runs}, indent=2))
    else:
        _print(checked)
    verdicts = [verdict for verdict, _ in checked]
    wrong, recomputed = sum(bool(verdict.wrong) for verdict in verdicts), sum(each.recomputed for each in verdicts)
    unfinished = sum(not verdict.wrong and verdict.state != "done" for verdict in verdicts)
    ran = [again for _, again in checked if again]
    bits = f", {len(ran)} run again, {sum(again.bits for again in ran)} with the same bits" if against else ""
    say(f"{len(verdicts)} run(s): {recomputed} recomputed, {unfinished} not done, {wrong} not as written{bits}")
    if wrong:
        raise typer.Exit(StoreError.exit_code)


def _checked(folder: Path, store: Path, against: Path | None) -> list[Checked]:
    """Every run of a folder. store: what to call the folder, which may be an archive's for the time being."""
    from dataclasses import replace

    from clbench.report.again import NotAgain, run_again
    from clbench.report.verify import verify as verdict_on
    from clbench.store.folder import find_runs

    def told(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text.replace(str(folder), str(store)) for text in texts)

    if against is not None:
        next(find_runs(against), None)  # a folder that is not there is an error, and no lack of runs
    checked: list[Checked] = []
    for run in find_runs(folder, say):
        verdict, again = verdict_on(run), None
        if against is not None and verdict.recomputed:
            try:
                again = run_again(run, against)
            except NotAgain as error:
                verdict = replace(verdict, notes=(*verdict.notes, f"not run again: {error}"))
        checked.append((replace(verdict, wrong=told(verdict.wrong), notes=told(verdict.notes)), again))
    return checked


def _print(checked: list[Checked]) -> None:
    """What is wrong, and what was run again; notes on standard error."""
    for verdict, again in checked:
        if verdict.wrong:
            print(f"{verdict.run}: {'; '.join(verdict.wrong)}")
        if again:
            print(f"{verdict.run}: run again: {again}")
        for note in verdict.notes:
            say(f"{verdict.run}: {note}")
