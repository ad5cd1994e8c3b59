"""The collections that class-incremental scenarios are cut from: COCO, VOC 2007, NUS-WIDE, and made scenes of digits.

Training options follow what the protocols' papers released, where their code was read: KRT (ICCV 2023;
github.com/witdsl/KRT-MLCIL) for COCO and VOC, CUTER (Wang et al., ICML 2025, arXiv 2505.19680;
github.com/wxr99/Cut-Replay) for NUS-WIDE. Ours differ: a constant learning rate, no augmentation, and
the backbones that `clbench` has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clbench.arrays import IntArray
from clbench.data import coco, nuswide, voc
from clbench.data.collection import Collection, DataPart, LabelTable, used, without_missing
from clbench.data.digits import CLASSES, SCENE, label_row, makers
from clbench.data.titles import TITLES
from clbench.errors import DataError, UsageError
from clbench.options import option
from clbench.randomness import generator
from clbench.scenario.incremental import IncrementalOptions


@dataclass(frozen=True)
class Dataset:
    """What is known of a collection without its files.

    title: its name with its source. classes: all of them. parts: data root -> what stands below it. options: the
    dataclass of its scenario options. defaults: as in `ScenarioBuilder`. axes: option -> the words that `protocol`
    prints for it. read: (data root, options) -> the collection; raises DataError.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    parts: Callable[[Path | None], tuple[DataPart, ...]]
    options: type[Any]
    defaults: Mapping[str, Mapping[str, Any]]
    read: Callable[[Path | None, Any], Collection]
    axes: Callable[[Any], dict[str, str]] = field(default=lambda options: {})


@dataclass(frozen=True)
class FileOptions(IncrementalOptions):
    """Options of a collection of image files."""

    threshold: float = option(0.8, "probability above which a class counts as predicted, for F1; KRT: 0.8", above=0.0)
    image_size: int = option(224, "height and width of the images in pixels; KRT: 224", at_least=1)
    allow_missing: bool = option(False, "leave out images that are not there, counted, instead of failing")


@dataclass(frozen=True)
class CocoOptions(FileOptions):
    crowd: str = option("exclude", "whether a crowd region counts as its class; KRT: exclude", choices=coco.CROWD)


@dataclass(frozen=True)
class VocOptions(FileOptions):
    difficult: str = option(
        "exclude", "whether an object marked difficult shows its class; KRT: exclude", choices=voc.DIFFICULT
    )


def read_coco(root: Path | None, options: CocoOptions) -> Collection:
    """train2014 and val2014, or the parts of the 2017 release; both must be there."""
    root = _given(root, "COCO")
    layout = coco.find_layout(root)
    if layout.absent:
        raise DataError(f"Expected {layout.absent[0]} below {root} but it is not there; complete COCO's annotations.")
    table = coco.read_layout(root, layout, options.crowd)
    train, test = (_rows([path.startswith(f"{folder}/") for path in table.paths]) for _, folder in layout.parts)
    release = layout.parts[0][1].removeprefix("train")
    notes = [] if release == "2014" else [f"release {release}: other parts than the papers' train2014 and val2014"]
    return _from_files(root, table, train, test, options, notes)


def read_voc(root: Path | None, options: VocOptions) -> Collection:
    """trainval and test."""
    root = _given(root, "VOC 2007")
    return _in_two_parts(root, *voc.read_voc(root, difficult=options.difficult), voc.SIZES, options)


def read_nuswide(root: Path | None, options: FileOptions) -> Collection:
    """The official training and test lists."""
    root = _given(root, "NUS-WIDE")
    return _in_two_parts(root, *nuswide.read_nuswide(root), nuswide.SIZES, options)


SCENES = {"train": 3000, "test": 1000}
"""Made scenes of digits in each part."""
SCENE_SEED = 21


def read_digits(root: Path | None, options: IncrementalOptions) -> Collection:
    """Scenes with one to four of the 20 labels of `digits-seq`, uniformly drawn; parts share no digit and no pixel."""
    from clbench.data.images import ArrayImages  # torch: late, so that listing stays quick

    ids: list[int | str] = []
    pixels, labels = [], []
    for part, maker in makers().items():
        rng = generator(SCENE_SEED, part)
        for scene in range(SCENES[part]):
            drawn = np.sort(rng.permutation(len(CLASSES))[: rng.integers(1, 5)])
            pixels.append(maker.draw(drawn, rng))
            labels.append(label_row(drawn))
            ids.append(f"{part}-{scene}")
    table = LabelTable(tuple(ids), ("",) * len(ids), CLASSES, np.stack(labels))
    parts = np.split(np.arange(len(ids)), [SCENES["train"]])
    return Collection(table, parts[0], parts[1], ArrayImages(np.stack(pixels)))


def _given(root: Path | None, name: str) -> Path:
    if root is None:
        raise UsageError(f"Expected --data-root DIR, the folder of {name}'s annotations and images, but got none.")
    return root


def _rows(chosen: Sequence[bool]) -> IntArray:
    return np.flatnonzero(np.array(chosen, np.bool_))


def _in_two_parts(
    root: Path, table: LabelTable, sizes: Mapping[str, int], official: Mapping[str, int], options: FileOptions
) -> Collection:
    notes = [f"{sizes[part]:,} of {official[part]:,} {part} images" for part in sizes if sizes[part] != official[part]]
    train, test = np.split(np.arange(len(table.ids)), [next(iter(sizes.values()))])
    return _from_files(root, table, train, test, options, notes)


def _from_files(
    root: Path, table: LabelTable, train: Any, test: Any, options: FileOptions, notes: Sequence[str]
) -> Collection:
    """A collection of the images that can be used: those with a label, and with `eval_images=all` every test image."""
    from clbench.data.cache import open_images  # torch: late, so that listing stays quick

    shown = np.asarray(table.labels.any(axis=1))
    bare = int((~shown[train]).sum())
    train = train[shown[train]]
    test = test if options.eval_images == "all" else test[shown[test]]
    train, gone = without_missing(root, table, train, allow_missing=options.allow_missing)
    test, gone_too = without_missing(root, table, test, allow_missing=options.allow_missing)
    notes = [*notes, f"{bare:,} training images show none of the {len(table.classes)} classes"] if bare else notes
    table, train, test = used(table, train, test)
    images = open_images(root, table.paths, options.image_size)
    return Collection(table, train, test, images, (*gone, *gone_too), tuple(notes))


def _sized(options: Any) -> dict[str, str]:
    return {"image size": f"{options.image_size} px, bicubic, no augmentation"}


def _coco_axes(options: CocoOptions) -> dict[str, str]:
    crowd = "count as their class" if options.crowd == "include" else "do not count"
    return {"parts": "train and val, of the release that is there", "crowd regions": crowd, **_sized(options)}


def _voc_axes(options: VocOptions) -> dict[str, str]:
    difficult = "shows its class" if options.difficult == "include" else "does not show its class"
    return {"parts": "trainval and test", "difficult object": difficult, **_sized(options)}


def _nuswide_axes(options: FileOptions) -> dict[str, str]:
    return {"parts": "the official training and test lists", **_sized(options)}


OFFLINE = {"epochs": 20, "batch_size": 64, "loss": "asl", "reduction": "sum", "grad_clip": 0.0, "drop_last": False}
"""KRT: 20 epochs for each task, batch 64, the asymmetric loss summed over labels."""

AGCN_TRAIN = {"epochs": 1, "batch_size": 8, "lr": 1e-4, "grad_clip": 0.0, "drop_last": False}
"""AGCN (ICME 2022; github.com/Kaile-Du/AGCN): one epoch, batch 8, Adam at 1e-4 for the network."""

COCO = Dataset(
    name="coco",
    title=TITLES["coco"],
    classes=coco.CLASSES,
    parts=coco.data_parts,
    options=CocoOptions,
    defaults={"train": {**OFFLINE, "lr": 1e-4}, "memory": {"size": 1000}},
    read=read_coco,
    axes=_coco_axes,
)
VOC = Dataset(
    name="voc",
    title=TITLES["voc"],
    classes=tuple(voc.CLASSES),
    parts=voc.data_parts,
    options=VocOptions,
    defaults={"train": {**OFFLINE, "lr": 4e-5}, "memory": {"size": 1000}},
    read=read_voc,
    axes=_voc_axes,
)
NUSWIDE = Dataset(
    name="nuswide",
    title=TITLES["nuswide"],
    classes=tuple(nuswide.CLASSES),
    parts=nuswide.data_parts,
    options=FileOptions,
    defaults={"train": {"epochs": 1, "batch_size": 20, "lr": 1e-5, "loss": "asl"}, "memory": {"size": 1600}},
    read=read_nuswide,
    axes=_nuswide_axes,
)
DIGITS = Dataset(
    name="digits",
    title=TITLES["digits"],
    classes=CLASSES,
    parts=lambda root: (),
    options=IncrementalOptions,
    defaults={
        "train": {"lr": 1e-3, "epochs": 2},
        "model": {"backbone": "small"},
        "head.dlfl": {"heads": 4, "width": 96},
        "head.mldecoder": {"heads": 4, "width": 96, "feedforward": 384},
        "head.q2l": {"heads": 4, "width": 96, "feedforward": 384},
        "memory": {"size": 400},
    },
    read=read_digits,
    axes=lambda options: {"image size": f"{SCENE} px, no augmentation"},
)
DATASETS = {dataset.name: dataset for dataset in (COCO, VOC, NUSWIDE, DIGITS)}
