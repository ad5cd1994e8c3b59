"""`clbench.run`: one configuration on several seeds, from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clbench import plugins
from clbench.files import DEFAULT_OUT
from clbench.learning.engine import choose_device
from clbench.learning.listener import Listener
from clbench.learning.loader import WORKERS
from clbench.running.build import Prepared, build_scenario, seeded
from clbench.running.config import DEFAULT, resolve
from clbench.running.execute import How, execute
from clbench.scenario.views import ALL
from clbench.store.folder import Run
from clbench.terminal import say


class Aloud(Listener):
    """Says on standard error what a person should know."""

    def said(self, message: str) -> None:
        say(message)


def run(
    scenario: str = "digits-seq",
    strategy: str = "dlfl",
    *,
    seeds: Sequence[int] = (0,),
    memory: str | None = DEFAULT,
    head: str = DEFAULT,
    view: str = ALL,
    settings: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    out: Path = DEFAULT_OUT,
    device: str = "auto",
    recipe: Path | None = None,
    rerun: bool = False,
    listeners: Sequence[Listener] = (),
    workers: int = WORKERS,
) -> list[Run]:
    """Run a strategy on a scenario, once for each seed; a run that is done already is not run again.

    scenario, strategy, memory, head: names, or paths of files (``"./mine.py"``), which are read anew at each call.
    view: how much of the scenario, e.g. `limited:40`. settings: option -> value, as `--set` takes them, e.g.
    ``{"lr": 1e-3}``. recipe: a file that `clbench tune` wrote, or its folder of them.
    workers: threads that decode images ahead; results do not depend on them. listeners: hear what happens; where none
    of them hears what is said (`Listener.said`), it goes to standard error.

    Raises:
        UsageError, PluginError, DataError: nothing has run. Whatever a run raises is recorded in its folder first.
    """
    plugins.read_anew()  # a file may have been edited since the last call
    config = resolve(scenario, strategy, memory=memory, head=head, view=view, settings=settings, recipe=recipe)
    choose_device(device)  # or the data would be read in vain
    shared = None if seeded(config) else Prepared(config, build_scenario(config, data_root))
    prepared = [shared or Prepared(config, build_scenario(config, data_root, seed)) for seed in seeds]
    how = How(device, workers=workers, rerun=rerun)
    heard = any(type(listener).said is not Listener.said for listener in listeners)
    hearing = listeners if heard else [*listeners, Aloud()]
    return [execute(each, seed, out, how, listeners=hearing) for seed, each in zip(seeds, prepared, strict=True)]
