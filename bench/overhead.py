"""What the engine costs over a bare PyTorch loop that does the same work, and that both compute the same bits.

    python bench/overhead.py [--repeats 5] [--steps 40]

The competitor is what one would write without clbench: er with a reservoir, 10 new and 10 replayed images, Adam,
clipping by value, images kept as uint8 and normalised on the device. It uses the same model class and data and nothing
else of the engine. They take turns step by step in one process, so that whatever slows the machine slows both; one
thread, CPU time; all losses must be equal, bit for bit.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from _common import header, spread

from clbench.data.images import ArrayImages
from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.learning.trainer import learn, stages_of, stream
from clbench.models.network import build_model
from clbench.randomness import generator
from clbench.running.build import Prepared, build_strategy
from clbench.running.config import resolve
from clbench.running.recording import Recorder
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario, Task
from clbench.store.folder import RunWriter

CLASSES, PIXELS, BATCH, MEMORY = 20, 64, 10, 200
WARM_UP = 5
"""First steps that are not counted."""


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

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self.values.append(values)


def bare(prepared: Prepared) -> Iterator[torch.Tensor]:
    """The same work by hand; gives the loss of each step."""
    task = prepared.scenario[0]
    pixels = prepared.scenario.images.read(np.arange(len(prepared.scenario.ids)))
    targets = torch.from_numpy(prepared.scenario.labels.astype(np.float32))
    model = build_model(prepared.config.options["model"], CLASSES, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    order, place, draw = generator(0, "order", 0, 0), generator(0, "memory"), generator(0, "replay")
    memory: list[int] = []
    model.train()
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
        yield loss.detach()


class Turns:
    """Hands the engine its batches and runs one step of the bare loop before each, timing both."""

    def __init__(self, batches: Iterator[Samples], steps: Iterator[torch.Tensor]) -> None:
        self._batches, self._steps = batches, steps
        self.engine: list[float] = []
        self.bare: list[float] = []
        self.losses: list[torch.Tensor] = []

    def __iter__(self) -> Iterator[Samples]:
        for loss in self._steps_timed():
            self.losses.append(loss)
            started = time.process_time()
            yield next(self._batches)
            self.engine.append(time.process_time() - started)

    def _steps_timed(self) -> Iterator[torch.Tensor]:
        while True:
            started = time.process_time()
            loss = next(self._steps, None)
            if loss is None:
                return
            self.bare.append(time.process_time() - started)
            yield loss


def compare(backbone: str, steps: int, repeats: int, folder: Path) -> None:
    """Prints engine against bare loop."""
    settings = {"backbone": backbone, "size": MEMORY, "batch_size": BATCH, "lr": 1e-3}
    prepared = Prepared(resolve("debug", "er", memory="reservoir", settings=settings), scenario(steps))
    ratios, ours, theirs = [], [], []
    for repeat in range(repeats):
        strategy = build_strategy(prepared, 0, torch.device("cpu"))
        kept = Losses()
        listeners = [Recorder(RunWriter(folder / f"{backbone}{repeat}")), kept]
        options = prepared.config.options["train"]
        turns = Turns(stream(prepared.scenario[0], 0, options, 0), bare(prepared))
        learn(strategy, next(stages_of(prepared.scenario, options)), iter(turns), listeners)
        if [float(values["loss"]) for values in kept.values] != [float(loss) for loss in turns.losses]:
            raise SystemExit(f"{backbone}: the losses of engine and bare loop differ")
        engine_ms, bare_ms = (1e3 * sum(times[WARM_UP:]) / (steps - WARM_UP) for times in (turns.engine, turns.bare))
        ours.append(engine_ms)
        theirs.append(bare_ms)
        ratios.append(100 * (engine_ms / bare_ms - 1))
    print(f"{backbone} at {PIXELS} px, {repeats} times {steps} steps; losses bit-equal")
    print(f"  engine     {spread(ours, 'ms/step')}")
    print(f"  bare loop  {spread(theirs, 'ms/step')}")
    print(f"  overhead   {spread(ratios, '%')}  (goal: at most 3 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        compare("small", 4 * arguments.steps, arguments.repeats, Path(folder))
        compare("resnet18", arguments.steps, arguments.repeats, Path(folder))


if __name__ == "__main__":
    main()
