"""What a step costs here and in Avalanche, for the same work, and how that grows over a long stream.

    python bench/beside_avalanche.py [--repeats 3] [--steps 60] [--stream 5000]

The work is er with a reservoir of 200 images, online: 10 new and 10 replayed images a step, Adam, the same network from
the same weights, pixels in memory as uint8. Avalanche has it as `ReplayPlugin` with `ReservoirSamplingBuffer` over
`split_online_stream`, where each mini-batch is an experience, on the streams of `clbench.to_avalanche`; its evaluator
has no metric. New images come in the same batches; what is replayed each draws by itself. So the losses of the first
step, and of the second, which replays all of the first, must be the same within 1e-4; the images learned from must be
as many, and the mean losses within 15 % of each other.

Both take turns step by step in one process, so that whatever slows the machine slows both; one thread, CPU time. It
needs the extra: pip install 'clbench[avalanche]'. The file is not named avalanche.py, which would hide the library.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from time import process_time

import numpy as np
import torch
from _common import header, spread
from avalanche.benchmarks.scenarios import split_online_stream
from avalanche.core import SupervisedPlugin
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor

from clbench import Strategy, to_avalanche
from clbench.adapters.avalanche import masked_bce
from clbench.data.images import ArrayImages
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import Prepared, build_strategy
from clbench.running.config import resolve
from clbench.scenario.tasks import Scenario, Task

CLASSES, BATCH, MEMORY = 20, 10, 200
WARM_UP = 5
"""First steps that are not counted."""
SAME, LIKE = 1e-4, 0.15
"""Largest relative difference of the first two steps' losses, and of the mean losses: other images are replayed."""


@dataclass
class Taken:
    """What steps took: CPU seconds and the loss of each, and images learned from."""

    seconds: list[float] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    images: int = 0

    def ms(self, part: slice = slice(WARM_UP, None)) -> float:
        """Milliseconds a step, the median."""
        return 1e3 * median(self.seconds[part])


class Replay(ReplayPlugin):
    """Avalanche's, which calls a method that it has itself deprecated, and warns at each step."""

    def after_training_exp(self, strategy: SupervisedTemplate, **kwargs: object) -> None:
        self.storage_policy.post_adapt(strategy, strategy.experience)


class Noting(SupervisedPlugin):
    """The loss and the images of each of Avalanche's steps."""

    def __init__(self, taken: Taken) -> None:
        super().__init__()
        self.taken = taken

    def after_training_iteration(self, strategy: SupervisedTemplate, **kwargs: object) -> None:
        self.taken.losses.append(strategy.loss.detach().squeeze())  # (1,) there
        self.taken.images += len(strategy.mb_x)


def prepare(backbone: str, pixels: int, steps: int) -> Prepared:
    """One task of random images, of so many steps, already in the order in which they are learned."""
    rng = np.random.default_rng(0)
    n = steps * BATCH
    labels = (rng.random((n + 1, CLASSES)) < 0.1).astype(np.uint8)
    images = ArrayImages(rng.integers(256, size=(n + 1, 3, pixels, pixels), dtype=np.uint8))
    names = tuple(map(str, range(CLASSES)))
    settings = {"backbone": backbone, "size": MEMORY, "batch_size": BATCH, "lr": 1e-3, "grad_clip": 0}
    config = resolve("debug", "er", memory="reservoir", settings=settings)
    rows = np.arange(n)

    def made(order: np.ndarray) -> Prepared:
        task = Task("0", tuple(range(CLASSES)), order, labels[order], np.ones((n, CLASSES), np.bool_), np.array([n]))
        return Prepared(config, Scenario("bench", tuple(range(n + 1)), names, labels, images, (task,)))

    shown = stream(made(rows).scenario[0], 0, config.options["train"], 0)
    return made(np.concatenate([samples.indices for samples in shown]))


def ours(prepared: Prepared, strategy: Strategy, taken: Taken) -> Iterator[None]:
    """A step of the engine each time."""
    options = prepared.config.options["train"]
    [stage] = stages_of(prepared.scenario, options)
    strategy.enter(stage)
    samples = stage.task.samples
    for step in range(stage.steps):
        part = samples.rows(np.arange(step * BATCH, (step + 1) * BATCH))
        taken.losses.append(torch.as_tensor(strategy.observe(strategy.load(part))["loss"]))
        yield
    counts = strategy.tally.counts
    taken.images = counts["gradient_images"] if counts else 0


def theirs(prepared: Prepared, model: torch.nn.Module, taken: Taken) -> Iterator[None]:
    """A step of Avalanche each time."""
    plugin = Replay(MEMORY, BATCH, BATCH, storage_policy=ReservoirSamplingBuffer(MEMORY))
    strategy = SupervisedTemplate(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3, fused=True),
        criterion=masked_bce,
        train_mb_size=BATCH,
        plugins=[plugin, Noting(taken)],
        evaluator=EvaluationPlugin(loggers=[BaseLogger()]),
    )
    streams = to_avalanche(prepared.scenario, torch.clone)
    for experience in split_online_stream(streams.train_stream, experience_size=BATCH, shuffle=False):
        strategy.train(experience, eval_streams=[])  # shuffled, or its replay would always be of the same images
        yield


def in_turns(prepared: Prepared) -> tuple[Taken, Taken]:
    """Both, step by step."""
    torch.manual_seed(0)
    here, there = Taken(), Taken()
    strategy, twin = (build_strategy(prepared, 0, torch.device("cpu")) for _ in range(2))
    pair = [(here, ours(prepared, strategy, here)), (there, theirs(prepared, twin.model, there))]
    for _ in prepared.scenario[0].train[::BATCH]:
        for taken, steps in pair:
            started = process_time()
            next(steps)
            taken.seconds.append(process_time() - started)
    for _, steps in pair:
        next(steps, None)  # to the end
    _check(here, there)
    return here, there


def _check(here: Taken, there: Taken) -> None:
    """Raises SystemExit where the work was not the same."""
    if here.images != there.images:
        raise SystemExit(f"not the same work: {here.images} and {there.images} images")
    one, other = (torch.stack(taken.losses) for taken in (here, there))
    for what, part, apart in (("first", slice(1), SAME), ("second", slice(1, 2), SAME), ("mean", slice(None), LIKE)):
        a, b = one[part].mean(), other[part].mean()
        if abs(a - b) > apart * a:
            raise SystemExit(f"not the same learning: {what} losses of {a:.4f} and {b:.4f}")


def compare(backbone: str, pixels: int, steps: int, repeats: int) -> None:
    """Prints a step of each, and their ratio."""
    pairs = [in_turns(prepare(backbone, pixels, steps)) for _ in range(repeats)]
    print(f"{backbone} at {pixels} px, {repeats} times {steps} steps, {pairs[0][0].images} images each")
    print(f"  clbench    {spread([here.ms() for here, _ in pairs], 'ms/step')}")
    print(f"  Avalanche  {spread([there.ms() for _, there in pairs], 'ms/step')}")
    print(f"  ratio      {spread([there.ms() / here.ms() for here, there in pairs], 'times')}")


def growth(steps: int) -> None:
    """Prints how a step of the small net at 32 px grows from the first tenth of a stream to its last."""
    taken = in_turns(prepare("small", 32, steps))
    tenth = max(1, (steps - WARM_UP) // 10)
    print(f"small at 32 px, a stream of {steps} steps: its first tenth and its last")
    for name, each in zip(("clbench", "Avalanche"), taken, strict=True):
        first, last = each.ms(slice(WARM_UP, WARM_UP + tenth)), each.ms(slice(-tenth, None))
        print(f"  {name:9}  {first:.3g} ms/step, {last:.3g} ms/step: {last / first:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--stream", type=int, default=5000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header())
    compare("small", 32, 4 * arguments.steps, arguments.repeats)
    compare("small", 64, 2 * arguments.steps, arguments.repeats)
    compare("resnet18", 64, arguments.steps, arguments.repeats)
    growth(arguments.stream)


if __name__ == "__main__":
    main()
