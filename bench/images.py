"""How fast images are read, against Pillow, and whether training waits for them.

    python bench/images.py [--photos DIR] [--repeats 5] [--steps 8]

Decoding: each photograph is decoded and resized straight to a square (bicubic, antialiased) by Pillow and by clbench,
one after the other in turns, one thread, CPU time; the difference of the pixels is given as PSNR. Pillow is at its best
setting of equal quality (its `draft` mode scales while decoding and is another picture).
The pixel cache: batches of 10 rows in random order, one thread, file in the page cache.
Training: er, ResNet-18, 10 new and 10 replayed images, one thread for the model and two that decode, wall clock; rounds
of a few steps from each source in turns, against the same steps on images that are in memory as an array.
Without --photos, pictures of 640 x 480 are made; photographs take longer to decode than these.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from _common import header, spread
from PIL import Image

from clbench.data import cache
from clbench.data.collection import ImageSource
from clbench.data.images import ArrayImages, FileImages
from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.learning.trainer import Progress, learn, stages_of, stream
from clbench.running.build import Prepared, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario, Task

ROWS = 1000
"""Rows of the cache that is read."""
WARM_UP = 3
"""First steps of each round that are not counted."""


def make_photos(folder: Path, count: int = 48) -> list[str]:
    """Smooth pictures with some grain, as JPEGs of quality 90."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(256, size=(15, 20, 3), dtype=np.uint8)).resize((640, 480), 3)
        grain = np.clip(np.asarray(coarse) + rng.normal(0, 8, (480, 640, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(grain).save(folder / f"{number}.jpg", quality=90)
        names.append(f"{number}.jpg")
    return names


def pillow(file: Path, size: int) -> npt.NDArray[np.uint8]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def psnr(ours: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8]) -> float:
    error = float(((ours.astype(np.float64) - theirs) ** 2).mean())
    return math.inf if not error else 10 * math.log10(255**2 / error)


def decoding(root: Path, names: Sequence[str], size: int, repeats: int, goal: float) -> None:
    """Prints images per second of both, their ratio, and PSNR."""
    images = FileImages(root, names, size)
    rates: dict[str, list[float]] = {"Pillow": [], "clbench": []}
    ratios, quality = [], []
    for repeat in range(repeats):
        seconds = dict.fromkeys(rates, 0.0)
        for number, name in enumerate(names):
            pixels = {}
            for who in list(rates) if (repeat + number) % 2 else list(rates)[::-1]:
                started = time.process_time()
                if who == "Pillow":
                    pixels[who] = pillow(root / name, size)
                else:
                    pixels[who] = images.read(np.array([number]))[0].numpy()
                seconds[who] += time.process_time() - started
            quality.append(psnr(pixels["clbench"].transpose(1, 2, 0), pixels["Pillow"]))
        for who, took in seconds.items():
            rates[who].append(len(names) / took)
        ratios.append(seconds["Pillow"] / seconds["clbench"])
    print(f"decode and resize to {size} px, {len(names)} pictures")
    for who, rate in rates.items():
        print(f"  {who:8} {spread(rate, 'images/s of one core')}")
    print(f"  ratio    {spread(ratios)}  (goal: at least {goal:g})")
    print(f"  PSNR     median {median(quality):.1f} dB, smallest {min(quality):.1f} dB  (goal: at least 50 dB)")


def reading(root: Path, names: Sequence[str], folder: Path, repeats: int) -> None:
    """Prints images per second from the cache."""
    paths = [names[row % len(names)] for row in range(ROWS)]
    cache.prepare(root, paths, 224, folder)
    images = cache.open_cache(root, paths, 224, folder)
    assert images is not None
    order = np.random.default_rng(0).permutation(ROWS)
    rates = []
    for repeat in range(repeats + 1):
        started = time.process_time()
        for start in range(0, ROWS, 10):
            images.read(order[start : start + 10])
        if repeat:  # the first one warms the page cache
            rates.append(ROWS / (time.process_time() - started))
    print(f"pixel cache at 224 px: {spread(rates, 'images/s of one core')}  (goal: at least 20,000)")


class Clock(Listener):
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self.times.append(time.perf_counter())


def training(root: Path, names: Sequence[str], folder: Path, repeats: int, steps: int) -> None:
    """Prints each source's speed as a share of the resident one's."""
    rows = 10 * (steps + WARM_UP)
    paths = [names[row % len(names)] for row in range(rows)]
    files = FileImages(root, paths, 224)
    cache.prepare(root, paths, 224, folder)
    cached = cache.open_cache(root, paths, 224, folder)
    assert cached is not None
    sources: dict[str, ImageSource] = {
        "resident": ArrayImages(files.read(np.arange(rows)).numpy()),
        "files": files,
        "pixel cache": cached,
    }
    labels = (np.random.default_rng(0).random((rows, 20)) < 0.1).astype(np.uint8)
    everything = np.arange(rows)
    task = Task("0", tuple(range(20)), everything, labels, np.ones_like(labels, np.bool_), np.array([0]))
    settings = {"backbone": "resnet18", "size": 200, "batch_size": 10}
    config = resolve("debug", "er", memory="reservoir", settings=settings)
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for repeat in range(repeats):
        for name in [*sources][repeat % 3 :] + [*sources][: repeat % 3]:
            classes = tuple(map(str, range(20)))
            scenario = Scenario("bench", tuple(range(rows)), classes, labels, sources[name], (task,))
            strategy = build_strategy(Prepared(config, scenario), 0, torch.device("cpu"))
            clock = Clock()
            options = config.options["train"]
            learn(strategy, next(stages_of(scenario, options)), stream(task, 0, options, 0), [clock], Progress())
            seconds[name].append((clock.times[-1] - clock.times[WARM_UP - 1]) / steps)
    print(f"er, ResNet-18 at 224 px, {repeats} rounds of {steps} steps")
    for name, took in seconds.items():
        shares = [100 * resident / own for resident, own in zip(seconds["resident"], took, strict=True)]
        print(f"  {name:12} {spread(took, 's/step')}; speed {spread(shares, '% of resident')}  (goal: at least 97)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header())
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.photos or Path(temporary)
        names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.jpg"))] or make_photos(root)
        print(f"{len(names)} {'photographs' if arguments.photos else 'made pictures of 640 x 480'}")
        decoding(root, names, 224, arguments.repeats, 1.5)
        decoding(root, names, 448, arguments.repeats, 2)
        reading(root, names, Path(temporary) / "cache", arguments.repeats)
        training(root, names, Path(temporary) / "cache", arguments.repeats, arguments.steps)


if __name__ == "__main__":
    main()
