"""Disjoint images, 21 NUS-WIDE classes in 7 tasks of 3: the kind of split that AGCN calls Split-WIDE.

AGCN (ICME 2022; github.com/Kaile-Du/AGCN) has lists with 144,858 training and 41,146 test images. Which 21 classes they
are, and by what rule an image enters one task, the lists do not say. Ours: the 21 classes with the most training
images, in alphabetical order, and for each image one of its tasks, drawn with a fixed seed. Numbers are not comparable
with those of `nuswide-b<base>-c<step>`, where an image enters every task that it shows a class of.
"""

from dataclasses import dataclass

from clbench.options import option
from clbench.scenario.protocols import IMAGES
from clbench.scenario.sources import AGCN_TRAIN, NUSWIDE, FileOptions
from clbench.scenario.split import Split


@dataclass(frozen=True)
class Options(FileOptions):
    images: str = option("disjoint", "which tasks a training image enters; AGCN: disjoint", choices=IMAGES)
    threshold: float = option(0.5, "probability above which a class counts as predicted; AGCN: logit 0", above=0.0)
    image_size: int = option(448, "height and width of the images in pixels; AGCN: 448", at_least=1)


class SplitNusWide(Split):
    """Seven tasks of three classes; see the module's docstring."""

    Options = Options
    defaults = {"train": AGCN_TRAIN}
    dataset = "nuswide"
    source = NUSWIDE
    classes = 21
    step = 3
