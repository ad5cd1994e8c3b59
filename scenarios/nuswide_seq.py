"""NUS-WIDEseq: 49 NUS-WIDE concepts in 6 tasks, long-tailed, by PRS's official id lists.

`--set splits=DIR` takes the lists from a clone of cdjkim/PRS: tasks 3, 1, 0, 5, 4, 2 in this order, 48,748 training
images, the 2,366 images of the balanced test lists, and majority, moderate and minority classes by the official lists.
An id is a 0-based line of the official training or test image list. Which class is in which task follows from ids and
labels. An image shows classes of one task only, so no label is missing; concepts outside the 49 are dropped from the
target. Many photographs can no longer be had: `--allow-missing` leaves them out, counts them in every table and lists
them in each run's absent.txt.

Source: Kim, Jeong, Kim, "Imbalanced Continual Learning with Partitioning Reservoir Sampling" (PRS), ECCV 2020, arXiv
2009.03632 (released lists and code read).

Matched: order, sizes, columns and groups of the official lists
(tests/scenarios/test_nuswide_seq.py::test_official_sizes_and_names). Over a made collection of NUS-WIDE's size it is
the official scenario, with PRS's 4,873 steps
(tests/scenarios/test_nuswide_seq.py::test_the_official_lists_over_a_made_collection_of_full_size).

Differs: PRS's own builder drops images that are not there without a word. Images are decoded and resized while
training, not before. Weights are random unless `--weights imagenet` is given, where PRS begins from ImageNet's; every
table says so.

Never run: on any file of NUS-WIDE itself: neither its lists, its labels nor its photographs were at hand.
"""

from dataclasses import replace
from pathlib import Path

from clbench.data.collection import DataPart, in_columns
from clbench.data.nuswide import data_parts, read_nuswide
from clbench.scenario.builder import ScenarioBuilder
from clbench.scenario.listed import DEFAULTS, Benchmark, ListedOptions, assemble, available, paper
from clbench.scenario.paper import Paper
from clbench.scenario.protocols import EXCLUSIVE
from clbench.scenario.tasks import Scenario

BENCHMARK = Benchmark(
    name="NUSWIDEseq",
    suffix="nuswide",
    sizes={
        "3": (None, 1948, 585),
        "1": (None, 18402, 294),
        "0": (None, 17672, 250),
        "5": (None, 4730, 299),
        "4": (None, 2373, 200),
        "2": (None, 3623, 738),
    },
    majority="flowers animal person grass buildings plants sky window water clouds".split(),
    moderate=(
        "ocean rocks boats toy tree snow food vehicle leaf reflection birds coral lake cars road nighttime sign statue"
    ).split(),
    minority=(
        "fire beach temple fish garden sand bridge sports tower plane computer flags wedding book house police street "
        "frost railroad military train"
    ).split(),
    numbered=True,
)
"""49 of NUS-WIDE's 81 concepts."""


class NusWideSeq(ScenarioBuilder):
    """Six tasks over 49 classes; see the module's docstring."""

    Options = ListedOptions
    dataset = "nuswide"
    holds = "NUS-WIDE's lists and images"
    defaults = DEFAULTS

    def tasks(self) -> None:
        return None

    def protocol(self) -> dict[str, str]:
        return {
            "splits": "official",
            **EXCLUSIVE,
            "class order": f"official: {', '.join(BENCHMARK.sizes)}",
            "head": "all classes from the start",
            "test images": "the official balanced lists",
            "image size": f"{self.options.image_size} px, bicubic, no augmentation",
        }

    def paper(self) -> Paper:
        return paper(rho=0.02)

    def data_parts(self) -> tuple[DataPart, ...]:
        return data_parts(self.data_root)

    def wanting(self) -> tuple[str, ...]:
        lists = "splits=DIR, a folder of the official id lists from a clone of cdjkim/PRS (its dataset/data_source)"
        return super().wanting() + (() if self.options.splits else (f"--set {lists}",))

    def check(self) -> None:
        super().check()
        BENCHMARK.folder(Path(self.options.splits))

    def build(self) -> Scenario:
        self.check()
        options = self.options
        lists = BENCHMARK.read_lists(Path(options.splits))
        assert self.data_root is not None
        table = in_columns(read_nuswide(self.data_root)[0], BENCHMARK.vocabulary)
        usable = available(lists, table, self.data_root, allow_missing=options.allow_missing)
        scenario = assemble(
            self.name,
            usable.lists,
            table,
            self.data_root,
            options.image_size,
            groups=BENCHMARK.groups(table.classes),
            protocol=self.protocol(),
            absent=usable.absent,
            notes=usable.notes,
        )
        return replace(scenario, notes=(*scenario.notes, *BENCHMARK.size_notes(scenario.tasks)))
