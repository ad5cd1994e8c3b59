"""What the engine costs over a bare PyTorch loop that does the same work, and that both compute the same bits.

    python bench/overhead.py [--pairs 7] [--steps 60]

The competitor is what one would write without clbench: er with a reservoir, 10 new and 10 replayed images, Adam,
clipping by value, images kept as uint8 and normalised on the device. It uses the same model class and data and nothing
else of the engine. Both run in turn (A B B A …) in one process, one thread, CPU time; every pair must give equal
losses, bit for bit.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from _common import header, spread

from clbench.config import resolve
from clbench.data.images import ArrayImages
from clbench.models.network import build_model
from clbench.randomness import generator
from clbench.records import RunWriter
from clbench.runner import Prepared, Recorder, build_strategy
from clbench.scenario import Scenario, Task
from clbench.strategy import Values
from clbench.trainer import Listener, learn, stream

CLASSES, PIXELS, BATCH, MEMORY = 20, 64, 10, 200


def scenario(steps: int) -> Scenario:
    """One task of random images, of so many steps."""
    rng = np.random.default_rng(0)
    n = steps * BATCH
    labels = (rng.random((n + 1, CLASSES)) < 0.1).astype(np.uint8)
    rows = np.arange(n)
    known = np.ones((n, CLASSES), np.bool_)
    task = Task("0", tuple(range(CLASSES)), rows, labels[rows], known, np.array([n]))
    images = ArrayImages(rng.integers(256, size=(n + 1, 3, PIXELS, PIXELS), dtype=np.uint8))
    return Scenario("bench", tuple(range(n + 1)), tuple(map(str, range(CLASSES))), labels, images, (task,))


class Losses(Listener):
    """Keeps every loss."""

    def __init__(self) -> None:
        self.values: list[Values] = []

    def stepped(self, task: int, step: int, values: Values, images: int) -> None:
        self.values.append(values)


@dataclass(frozen=True)
class Timed:
    seconds: float
    losses: tuple[float, ...]


def engine(prepared: Prepared, folder: Path) -> Timed:
    """The engine's loop with its recorder, without the evaluation."""
    strategy = build_strategy(prepared, 0, torch.device("cpu"))
    kept = Losses()
    listeners = [Recorder(RunWriter(folder)), kept]
    task = prepared.scenario[0]
    batches = stream(task, 0, prepared.config.options["train"], 0)
    started = time.process_time()
    learn(strategy, task, 0, batches, strategy.load, listeners)
    seconds = time.process_time() - started
    return Timed(seconds, tuple(float(values["loss"]) for values in kept.values))


def bare(prepared: Prepared) -> Timed:
    """The same work by hand."""
    task = prepared.scenario[0]
    pixels = prepared.scenario.images.read(np.arange(len(prepared.scenario.ids)))
    targets = torch.from_numpy(prepared.scenario.labels.astype(np.float32))
    model = build_model(prepared.config.options["model"], CLASSES, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    order, place, draw = generator(0, "order", 0, 0), generator(0, "memory"), generator(0, "replay")
    memory: list[int] = []
    losses = []
    model.train()
    started = time.process_time()
    permutation = order.permutation(len(task.train))
    seen = 0
    for step in range(len(permutation) // BATCH):
        new = permutation[step * BATCH : (step + 1) * BATCH]
        rows = new
        if memory:
            slots = draw.choice(len(memory), size=min(BATCH, len(memory)), replace=False)
            rows = np.concatenate([new, np.array(memory)[slots]])
        index = torch.from_numpy(rows)
        logits = model(torch.index_select(pixels, 0, index))
        loss = F.binary_cross_entropy_with_logits(logits, torch.index_select(targets, 0, index))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_value_(model.parameters(), 5.0)
        optimizer.step()
        for row in new.tolist():
            seen += 1
            if len(memory) < MEMORY:
                memory.append(row)
            elif (slot := int(place.integers(seen))) < MEMORY:
                memory[slot] = row
        losses.append(loss.detach())
    seconds = time.process_time() - started
    return Timed(seconds, tuple(float(loss) for loss in losses))


def compare(backbone: str, steps: int, pairs: int, folder: Path) -> None:
    """Prints one line: engine against bare loop."""
    settings = {"backbone": backbone, "size": MEMORY, "batch_size": BATCH, "replay_batch": BATCH, "lr": 1e-3}
    prepared = Prepared(resolve("debug", "er", memory="reservoir", settings=settings), scenario(steps))
    ratios, ours, theirs = [], [], []
    for pair in range(pairs + 1):
        if pair % 2:  # who comes first changes from pair to pair
            second = bare(prepared)
            first = engine(prepared, folder / f"{backbone}{pair}")
        else:
            first = engine(prepared, folder / f"{backbone}{pair}")
            second = bare(prepared)
        if first.losses != second.losses:
            raise SystemExit(f"{backbone}: the losses of engine and bare loop differ")
        if pair:  # the first pair warms up
            ours.append(1e3 * first.seconds / steps)
            theirs.append(1e3 * second.seconds / steps)
            ratios.append(100 * (first.seconds / second.seconds - 1))
    print(f"{backbone} at {PIXELS} px, {steps} steps, {pairs} pairs; losses bit-equal")
    print(f"  engine     {spread(ours, 'ms/step')}")
    print(f"  bare loop  {spread(theirs, 'ms/step')}")
    print(f"  overhead   {spread(ratios, '%')}  (goal: at most 3 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        compare("small", 4 * arguments.steps, arguments.pairs, Path(folder))
        compare("resnet18", arguments.steps, arguments.pairs, Path(folder))


if __name__ == "__main__":
    main()
