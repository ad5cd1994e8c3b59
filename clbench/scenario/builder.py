"""The contract of a scenario builder; one file each in `scenarios/`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from clbench.data.collection import DataPart
from clbench.options import NoOptions
from clbench.scenario.tasks import Scenario


class ScenarioBuilder(ABC):
    """Builds one scenario; the file it stands in names it (`coco_seq.py` -> `coco-seq`).

    What `tasks`, `protocol` and `defaults` tell must be known without the data, as `clbench show` prints it.
    """

    Options: ClassVar[type[Any]] = NoOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Section (`train`, `model`, `memory`, `head`; `head.dlfl` for one head alone) -> options whose defaults differ."""
    dataset: ClassVar[str] = ""
    """Family of its images: coco, voc or nuswide. Weights that were trained on it are flagged as a leak."""

    def __init__(self, options: Any = None, data_root: Path | None = None) -> None:
        self.options = self.Options() if options is None else options
        self.data_root = data_root

    @property
    def name(self) -> str:
        """The name on the command line, from the file's name."""
        return type(self).__module__.rsplit(".", 1)[-1].lstrip("_").replace("_", "-")

    @abstractmethod
    def tasks(self) -> tuple[tuple[str, ...], ...] | None:
        """Class names per task, in order; None where only the data can tell (then `protocol` says so)."""

    @abstractmethod
    def protocol(self) -> dict[str, str]:
        """The named axes: images, missing, replay_labels, eval_images, threshold, class order and what else matters."""

    def data_parts(self) -> tuple[DataPart, ...]:
        """What must stand below the data root; nothing by default, for scenarios that are made."""
        return ()

    @abstractmethod
    def build(self) -> Scenario:
        """The scenario. Raises DataError where data are missing or damaged."""
