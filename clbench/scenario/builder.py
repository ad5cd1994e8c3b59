"""The contract of a scenario builder; one file each in `scenarios/`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, Self

from clbench import plugins
from clbench.data.collection import DataPart
from clbench.errors import DataError, UsageError
from clbench.options import NoOptions
from clbench.scenario.paper import Paper
from clbench.scenario.tasks import Scenario


class ScenarioBuilder(ABC):
    """Builds one scenario; the file it stands in names it (`coco_seq.py` -> `coco-seq`).

    `Options`, `defaults` and `dataset` are the same for every builder of most classes. One that stands for a family of
    names (`coco-b0-c10`, `voc-b4-c2` …) sets them, and what else the name says, on itself in its `__init__`.

    What `tasks`, `protocol`, `paper` and `defaults` tell must be known without the data, as `clbench show` prints it.
    """

    Options: type[Any] = NoOptions
    defaults: Mapping[str, Mapping[str, Any]] = {}
    """Section (`train`, `model`, `memory`, `head`; `head.dlfl` for one head alone) -> options whose defaults differ."""
    dataset: str = ""
    """Family of its images: coco, voc or nuswide. Weights that were trained on it are flagged as a leak."""

    holds: str = "the dataset's own files"
    """What stands in its data root, in words."""
    seed: int = 0
    """The run's, for a builder that is `seeded`; see `of_seed`."""

    def __init__(self, options: Any = None, data_root: Path | None = None, *, name: str | None = None) -> None:
        """name: the one on the command line; the file's where there is none. options: an instance of `Options`."""
        self._name = name or type(self).__module__.rsplit(".", 1)[-1].lstrip("_").replace("_", "-")
        self.options = self.Options() if options is None else options
        self.data_root = data_root

    @property
    def name(self) -> str:
        """The scenario's name in results: the one on the command line, unless options or data make it another."""
        return self._name

    def configured(self, options: Any, data_root: Path | None = None) -> Self:
        """A builder of the same name with these options (an instance of `Options`) and this data root."""
        return type(self)(options, data_root, name=self._name)

    @property
    def seeded(self) -> bool:
        """Whether the tasks are drawn from the run's seed, as with order=seed; then each seed has a scenario."""
        return False

    def of_seed(self, seed: int) -> Self:
        """The same builder for the runs with a seed; one that is not seeded is the same for all of them."""
        if not self.seeded:
            return self
        other = copy(self)
        other.seed = seed
        return other

    @abstractmethod
    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        """Class names per task, in order; None where only the data can tell (then `protocol` says so).

        Of a builder that is seeded, those of its `seed`.
        """

    @abstractmethod
    def protocol(self) -> dict[str, str]:
        """The named axes: images, missing, replay_labels, eval_images, threshold, class order and what else matters."""

    def paper(self) -> Paper | None:
        """How the paper that the scenario is from trained on it; None, as by default, where nothing is known of it.

        Every table names the settings of its runs that are others.
        """
        return None

    def data_parts(self) -> tuple[DataPart, ...]:
        """What must stand below the data root; nothing by default, for scenarios that are made."""
        return ()

    def wanting(self) -> tuple[str, ...]:
        """What must be typed and is not, each in words: `--data-root DIR, the folder of ...`."""
        missing = self.data_root is None and self.data_parts()
        return (f"--data-root DIR, the folder of {self.holds}",) if missing else ()

    def check(self) -> None:
        """What can be told without any data: it comes before they are looked for.

        Raises:
            UsageError: what must be given is not.
            DataError: the data root is no folder.
        """
        if wanting := self.wanting():
            got = "none" if len(wanting) == 1 else "neither" if len(wanting) == 2 else "none of them"
            raise UsageError(f"Expected {', and '.join(wanting)}, but got {got}; see `clbench show {self._name}`.")
        if self.data_root is not None and not self.data_root.is_dir() and self.data_parts():
            raise DataError(f"Expected the folder of {self.holds} at {self.data_root} but there is none; correct it.")

    @abstractmethod
    def build(self) -> Scenario:
        """The scenario. Raises DataError where data are missing or damaged.

        A builder that is seeded says in `Scenario.drawn` from what its tasks were drawn.
        """


def load_builder(name: str) -> ScenarioBuilder:
    """The builder of that name, or in that file, with default options: whom to ask for its `Options`, then to be
    `configured`.

    Raises:
        UsageError: no such name, or one of a family that its builder refuses.
        PluginError: a plugin that cannot be loaded.
    """
    builder: ScenarioBuilder = plugins.load("scenario", name)(name=plugins.name_of(name))
    return builder
