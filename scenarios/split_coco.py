"""Disjoint images, 40 COCO classes in 10 tasks of 4: the kind of split that AGCN calls Split-COCO.

AGCN (ICME 2022; github.com/Kaile-Du/AGCN) has lists with 65,072 training and 27,173 test images. Which 40 classes they
are, and by what rule an image enters one task, the lists do not say. Ours: the 40 classes with the most training
images, in alphabetical order, and for each image one of its tasks, drawn with a fixed seed. Numbers are not comparable
with those of `coco-b<base>-c<step>`, where an image enters every task that it shows a class of.
"""

from dataclasses import dataclass

from clbench.options import option
from clbench.scenario.protocols import IMAGES
from clbench.scenario.sources import AGCN_TRAIN, COCO, CocoOptions
from clbench.scenario.split import Split


@dataclass(frozen=True)
class Options(CocoOptions):
    images: str = option("disjoint", "which tasks a training image enters; AGCN: disjoint", choices=IMAGES)
    threshold: float = option(0.5, "probability above which a class counts as predicted; AGCN: logit 0", above=0.0)
    image_size: int = option(448, "height and width of the images in pixels; AGCN: 448", at_least=1)


class SplitCoco(Split):
    """Ten tasks of four classes; see the module's docstring."""

    Options = Options
    defaults = {"train": AGCN_TRAIN}
    dataset = "coco"
    source = COCO
    classes = 40
    step = 4
