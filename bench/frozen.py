"""What a frozen backbone with its maps kept saves over one that is run at every step.

    python bench/frozen.py [--steps 40] [--photos DIR]

Both train the same strategies (er and dlfl, 10 new and 10 replayed images) with EfficientNet-Lite0 and its ImageNet
weights in evaluation, without gradients; one reads the kept maps, the other computes them. They take turns step by step
in one process, on one thread, CPU time. Images: digits-seq at 48 px, and photographs of `--photos` at 128 px. The maps
are kept in float16, which is the only difference between the two: the largest one of their losses is printed.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _common import header, spread

from clbench.data.digits import SCENE
from clbench.data.images import ArrayImages, FileImages
from clbench.learning.loader import Loader
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.running.resume import WhilePreparing
from clbench.running.stops import Requests
from clbench.scenario.tasks import Scenario
from clbench.scenario.views import limited

WARM_UP = 5
"""First steps that are not counted."""
SETTINGS = {"backbone": "efficientnet_lite0", "weights": "imagenet", "freeze": "backbone", "lr": 1e-3}


def photographs(folder: Path, size: int) -> ArrayImages:
    """All JPEGs below a folder, decoded, repeated up to 1,000."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    pixels = FileImages(folder, files, size).read(np.arange(len(files))).numpy()
    return ArrayImages(np.resize(pixels, (1000, *pixels.shape[1:])))


def steps(strategy: Strategy, prepared: Prepared, count: int) -> Iterator[tuple[float, float]]:
    """CPU seconds and loss of each step."""
    options = prepared.config.options["train"]
    strategy.enter(next(stages_of(prepared.scenario, options)))
    for _, samples in zip(range(count), stream(prepared.scenario[0], 0, options, 0), strict=False):
        started = time.process_time()
        values = strategy.observe(strategy.load(samples))
        yield time.process_time() - started, float(values["loss"])


def compare(name: str, scenario: Scenario, count: int) -> None:
    """Prints kept against computed maps."""
    for chosen in ("er", "dlfl"):
        prepared = Prepared(resolve("digits-seq", chosen, settings=SETTINGS), limited(scenario, count * 10))
        cpu = torch.device("cpu")
        with tempfile.TemporaryDirectory() as cache:
            maps = WhilePreparing(Requests())
            kept = build_strategy(prepared, 0, cpu, cache=Path(cache), listeners=[maps])
            computed = build_strategy(prepared, 0, cpu, cache=Path(cache))
        computed.loader = Loader(prepared.scenario.images, cpu)  # pixels instead of maps
        pairs = list(zip(steps(kept, prepared, count), steps(computed, prepared, count), strict=True))[WARM_UP:]
        (fast, losses), (slow, others) = (zip(*side, strict=True) for side in zip(*pairs, strict=True))
        apart = max(abs(a - b) for a, b in zip(losses, others, strict=True))
        print(f"{name}, {chosen}, {len(pairs)} steps; maps once {maps.seconds:.1f} s wall; losses within {apart:.1e}")
        print(f"  computed  {spread([1e3 * s for s in slow], 'ms/step')}")
        print(f"  kept      {spread([1e3 * s for s in fast], 'ms/step')}")
        print(f"  ratio     {sum(slow) / sum(fast):.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    if arguments.steps <= WARM_UP:
        parser.error(
            f"Expected --steps to be more than the {WARM_UP} of the warm-up but got {arguments.steps}; give at least "
            f"{WARM_UP + 1}."
        )
    torch.set_num_threads(1)
    print(header())
    digits = build_scenario(resolve("digits-seq", "er"))
    compare(f"digits-seq at {SCENE} px", digits, arguments.steps)
    if arguments.photos:
        images = photographs(arguments.photos, 128)
        tasks = tuple(replace(task, train=task.train % 1000, test=task.test % 1000) for task in digits[:1])
        few = replace(digits, ids=digits.ids[:1000], labels=digits.labels[:1000], images=images, tasks=tasks)
        compare("photographs at 128 px", few, arguments.steps)


if __name__ == "__main__":
    main()
