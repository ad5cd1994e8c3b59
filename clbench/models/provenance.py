"""What weights were trained on, as far as names tell, and whether a scenario's own data set is among it.

The field's silent leak: a backbone that was fitted to all labels of COCO, and then learns COCO class by class. Several
public READMEs of class-incremental multi-label methods link to one such file, MS_COCO_TRresNet_M_224_81.8.pth of
github.com/Alibaba-MIIL/ASL. Needs no torch.
"""

import re

UNKNOWN = "unknown"

FAMILIES = {
    # LVIS (Gupta et al., CVPR 2019, arXiv 1908.03195) labels COCO's images.
    "coco": ("MS-COCO", r"(ms[-_ ]?)?coco(seq|20\d\d)?|lvis"),
    "voc": ("PASCAL VOC", r"(pascal[-_ ]?)?voc(20\d\d|\d\d)?|pascal"),
    "nuswide": ("NUS-WIDE", r"nus[-_ ]?wide(seq)?"),
}
"""Family of data sets -> its name, and a pattern for how files and descriptions name it."""

TAGS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "jft": "JFT-300M",
    "ig1b": "IG-1B",
    "yfcc100m": "YFCC100M",
    "webli": "WebLI",
    "datacomp1b": "DataComp-1B",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
}
"""Parts of a timm tag that name a data set."""


def families(text: str) -> set[str]:
    """The families that a description or a file name names, as words of their own."""
    return {
        family
        for family, (_, pattern) in FAMILIES.items()
        if re.search(rf"(?<![a-z])({pattern})(?![a-z])", text, re.IGNORECASE)
    }


def named_datasets(file: str) -> str:
    """The data sets that a file's name tells, or an empty text."""
    found = [name for family, (name, _) in FAMILIES.items() if family in families(file)]
    return f"{', '.join(found)} (by the file's name)" if found else ""


def tagged_datasets(tag: str) -> str:
    """What a timm tag tells of the training data, in its order: augreg_in21k_ft_in1k -> ImageNet-21k, ImageNet-1k."""
    found = [TAGS[part] for part in re.split(r"[_.]", tag) if part in TAGS]
    return ", ".join(dict.fromkeys(found)) or UNKNOWN


def leak(told: str, weights: str, dataset: str) -> str | None:
    """A sentence if weights with such a description and name know a scenario's data set; else None."""
    if dataset not in families(told):
        return None
    return (
        f"The initial weights ({weights}) were trained on {FAMILIES[dataset][0]}, the scenario's own data set: "
        "its labels were learned before the first task."
    )


def note(trained_on: str, weights: str) -> str | None:
    """A sentence for a footnote where nobody knows what weights were trained on; else None."""
    if trained_on != UNKNOWN:
        return None
    return (
        f"What the initial weights ({weights}) were trained on is unknown; the scenario's own data set may be part of "
        "it (declare it with --set weights_trained_on=TEXT)."
    )
