"""What is still to come of a list that is being carried out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clbench.launch.cells import Cell
from clbench.launch.estimates import Experience, Load
from clbench.launch.plan import experience, load_of
from clbench.store.folder import DONE, Run
from clbench.store.plans import state_of
from clbench.terminal import duration


class Ahead:
    """The runs of a list that have not ended, and what tells how long they take: runs of the store, and of the list."""

    def __init__(self) -> None:
        self._known, self._left = Experience(), dict[Path, Load]()
        self.runs = 0

    def planned(self, cells: Sequence[Cell], device: torch.device) -> None:
        """These are to be run, one after another."""
        self.runs = len(cells)
        if self.runs > 1:
            self._known = experience(cells, device)
            self._left = {c.folder: load_of(c, device) for c in cells if state_of(c.folder) != DONE}

    def over(self, folder: Path, run: Run | None = None) -> None:
        """One has ended, as `run` where it is done."""
        if self._left.pop(folder, None) and run:
            self._known.learn_from(run)

    def behind(self, folder: Path) -> Callable[[float], str]:
        """What says in words how much time is left of the list, given the seconds that the run in a folder takes."""
        estimates = [self._known.of(load) for other, load in self._left.items() if other != folder]
        known = [estimate.seconds for estimate in estimates if estimate]
        least = "" if len(known) == len(estimates) else "at least "
        runs = f"{len(estimates) + 1} runs" if estimates else "the run"
        return lambda seconds: f"{least}{duration(seconds + sum(known))} of {runs}"
